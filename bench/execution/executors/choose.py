"""Which executor a command line asks for. Each is imported on use: Ray may not be installed, and torch is slow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.core import devices
from bench.core.errors import UserError
from bench.core.jobs import Executor
from bench.tracking import store


class Kind(StrEnum):
    INLINE = "inline"  # in this process, for debugging
    LOCAL = "local"  # processes of this machine
    RAY = "ray"


@dataclass(frozen=True)
class Request:
    """workers: runs at a time; None: as many as there is room for. The rest is for Ray alone."""

    kind: Kind = Kind.LOCAL
    workers: int | None = None
    address: str | None = None
    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.kind != Kind.RAY and (self.gpus is not None or self.cpus != 1):
            raise UserError(
                "--cpus-per-run and --gpus-per-run are shares of a Ray cluster: add --executor ray"
            )

    @property
    def expected_workers(self) -> int:
        """For the estimate of a study's time; of a cluster only what was asked for is known before it is reached."""
        default = 1 if self.kind == Kind.INLINE else devices.default_workers()
        return max(1, default if self.workers is None else self.workers)

    def make(self, cache: Path, uri: str) -> Executor:
        """Raises `UserError` for what is not installed, not reached or cannot work together."""
        if self.kind == Kind.INLINE or self.workers == 0:
            from bench.execution.executors.inline import InlineExecutor

            return InlineExecutor()
        if self.kind == Kind.RAY:
            return self._ray(cache, uri)
        return local_pool(self.expected_workers)

    def _ray(self, cache: Path, uri: str) -> Executor:
        from bench.execution.executors import cluster

        executor = cluster.RayExecutor(cache, self.address, self.workers, self.cpus, self.gpus)
        if store.sqlite_path(uri) and cluster.spans_machines():
            executor.close()
            raise UserError(
                f"the store {uri} is a file on this machine, and the cluster has others; start a server"
                " (docs/clusters.md) and name it with --store http://HOST:PORT"
            )
        return executor


def local_pool(workers: int, processes: int | None = None) -> Executor:
    """As many processes as workers, unless told otherwise, each with its share of the cores."""
    from bench.execution.executors.pool import LocalPool

    return LocalPool(processes or workers, threads=max(1, devices.cores() // workers))

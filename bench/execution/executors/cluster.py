"""Jobs on a Ray cluster: as many at a time as its processors, or shares of its GPUs, allow.

https://docs.ray.io/en/latest/ray-core/tasks.html. A job is a Ray task; Ray keeps the processes between tasks, so
imports are paid once in each. Retries are ours (`bench.execution.executors.waiting`), not Ray's: the driver must know
of each lost attempt, to say in the store what became of its run.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.jobs import Ended, Event, Job, Progress, Started
from bench.execution.executors import parcels
from bench.execution.executors.pool import GRACE_SECONDS, MALLOC
from bench.execution.executors.waiting import Waiting
from bench.storage.places import Places, all_used

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # lost attempts are told by us

try:
    import ray
    from ray import exceptions
    from ray.util.queue import Empty, Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise UserError("Ray is not installed; pip install 'finetune-bench[ray]'") from error

PROGRESS_SECONDS = 0.5
"""A job tells at most so often how far it is."""

CANCELS = 2
"""So often a job is interrupted: one that is in code that lets no exception out, as a finaliser, goes on after the first."""

NODE_LOST = (exceptions.NodeDiedError, exceptions.LocalRayletDiedError)


@dataclass(frozen=True)
class Share:
    """What one run takes of a node. gpus may be a fraction: .25 lets four runs share a GPU."""

    cpus: int
    gpus: float

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many runs at a time these allow."""
        found = int(resources.get("CPU", 0) // self.cpus)
        return min(found, int(resources.get("GPU", 0) / self.gpus + 1e-9)) if self.gpus else found

    def __str__(self) -> str:
        return f"{self.cpus} processor(s) and {self.gpus:g} GPU(s)"


@dataclass(frozen=True)
class Setting:
    """What every task is told. marker: a file in the driver's cache, seen where a node's cache is the same folder."""

    marker: Path
    apart: bool  # some node has another cache
    threads: int
    told: Any  # the queue for (key of a job, steps done, steps in total)


class RayExecutor:
    """See the module. Starts a Ray of its own on this machine unless `address` names a cluster.

    Raises `UserError` for a cluster that cannot be reached or has no room for a single run.
    """

    def __init__(
        self,
        cache: Path,
        address: str | None = None,
        at_most: int | None = None,
        cpus: int = 1,
        gpus: float | None = None,
    ) -> None:
        """at_most: runs at a time. cpus, gpus: of each run; by default a whole GPU where the cluster has any."""
        _connect(address)
        resources = ray.cluster_resources()
        self.share = Share(cpus, float("GPU" in resources) if gpus is None else gpus)
        self._at_most = at_most
        if not self.share.fits(resources):
            ray.shutdown()
            there = f"{resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}"
            raise UserError(f"a run takes {self.share}, and the Ray cluster has {there}")
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        descriptor, marker = tempfile.mkstemp(prefix=".driver-", dir=cache)
        os.close(descriptor)
        self._setting = Setting(Path(marker), not _seen_everywhere(Path(marker)), cpus, _queue())
        self._parcels: dict[str, Any] = {}
        self._tasks: dict[Any, tuple[Job, int, Any]] = {}
        self._task: Any = ray.remote(
            num_cpus=self.share.cpus, num_gpus=self.share.gpus, num_returns=2, max_retries=0, max_calls=0,
            runtime_env={"env_vars": dict(MALLOC)},
        )(_execute)  # fmt: skip

    @property
    def workers(self) -> int:
        """Runs at a time; grows and shrinks with the cluster."""
        room = self.share.fits(ray.cluster_resources())
        return max(1, room if self._at_most is None else min(room, self._at_most))

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        waiting = Waiting(jobs)
        while waiting or self._tasks:
            room = self.workers
            while waiting and len(self._tasks) < room:
                job, slot = waiting.take(), self._free_slot()
                yield Started(job, slot)
                result, made = self._task.remote(job, self._setting, self._parcels)
                self._tasks[result] = job, slot, made
            ready, _ = ray.wait(list(self._tasks), num_returns=1, timeout=PROGRESS_SECONDS)
            yield from self._progress()
            for task in ready:
                yield from self._end(task, waiting)

    def _free_slot(self) -> int:
        taken = {slot for _, slot, _ in self._tasks.values()}
        return next(i for i in range(len(taken) + 1) if i not in taken)

    def _end(self, task: Any, waiting: Waiting) -> Iterator[Event]:
        job, slot, made = self._tasks.pop(task)
        try:
            kind, value, names = ray.get(task)
            self._take_in(names, made)
        except NODE_LOST as error:
            yield from waiting.preempted(job, slot, _first_line(error))
        except exceptions.RayError as error:
            yield from waiting.died(job, slot, _first_line(error))
        else:
            yield Ended(job, slot, **{kind: value})

    def _take_in(self, names: Iterable[str], made: Any) -> None:
        """Parcels for the other nodes, and for the driver, which plans with what was measured."""
        new = [name for name in names if name not in self._parcels]
        self._parcels |= dict.fromkeys(new, made)
        for name in new:
            if not (self._cache / name).exists():
                parcels.unpack(self._cache, name, ray.get(made)[name])

    def _progress(self) -> Iterator[Event]:
        jobs = {job.key: (job, slot) for job, slot, _ in self._tasks.values()}
        queue = self._setting.told
        with suppress(Empty, exceptions.RayError):  # without it only the bars stand still
            for key, done, total in queue.get_nowait_batch(queue.qsize()):
                if key in jobs:
                    yield Progress(*jobs[key], done, total)

    def close(self) -> None:
        """Interrupt what runs, as Ctrl-C would, and leave the cluster (or end the one that was started here)."""
        running = list(self._tasks)
        self._tasks.clear()  # what is closed may be closed again
        for _ in range(CANCELS):
            for task in running:
                ray.cancel(task, force=False)
            if running:
                _, running = ray.wait(running, num_returns=len(running), timeout=GRACE_SECONDS / CANCELS)
        self._setting.marker.unlink(missing_ok=True)
        ray.shutdown()


def spans_machines() -> bool:
    """Whether nodes of the connected cluster are on other machines than this one."""
    here = ray.util.get_node_ip_address()
    return any(node["Alive"] and node["NodeManagerAddress"] != here for node in ray.nodes())


def _connect(address: str | None) -> None:
    ours = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
        )
    except (OSError, RuntimeError, ValueError, exceptions.RayError) as error:
        where = f"the Ray cluster {address}" if address else "a Ray on this machine"
        raise UserError(f"{where} cannot be reached: {_first_line(error)}") from error
    finally:
        signal.signal(
            signal.SIGTERM, ours
        )  # Ray's own would end the driver before it can say so in the store


def _knock(address: str | None) -> None:
    """Ray tries for minutes, and may then end the process. Raises OSError where nobody answers."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _queue() -> Any:
    """On the driver's node, where no other node's loss takes it along."""
    here = _on(ray.get_runtime_context().get_node_id())
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


def _seen_everywhere(marker: Path) -> bool:
    """Whether all nodes share the driver's cache. One that is lost while it is asked does not say so: no is always safe."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    if len(nodes) == 1:
        return True
    look = ray.remote(num_cpus=0)(_sees)
    answers = [look.options(scheduling_strategy=_on(node)).remote(marker) for node in nodes]
    try:
        return all(ray.get(answers))
    except exceptions.RayTaskError:
        raise  # of our own making
    except exceptions.RayError:  # Ray believes for half a minute that a lost node is there
        return False


def _sees(marker: Path) -> bool:
    return (_own_cache(marker) / marker.name).exists()


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _execute(job: Job, setting: Setting, at_hand: dict[str, Any]) -> tuple[tuple[str, Any, list[str]], Any]:
    """A job, on some node. at_hand: references to parcels, by name.

    -> (("result" | "user_error" | "crash", its value, names of new parcels), the new parcels)
    """
    import torch

    torch.set_num_threads(setting.threads)
    own = _own_cache(setting.marker)
    for name, reference in at_hand.items():
        if not (own / name).exists():
            with suppress(exceptions.RayError, OSError):  # lost, or a full disk: made anew where it is needed
                parcels.unpack(own, name, ray.get(reference)[name])
    job = replace(job, args=tuple(_at_home(arg, own) for arg in job.args))
    kind, value = _call(job, setting)
    used = (entry.relative_to(own).as_posix() for entry in all_used() if entry.is_relative_to(own))
    new = parcels.pack(own, (name for name in used if name not in at_hand)) if setting.apart else {}
    return (kind, value, list(new)), new


def _own_cache(marker: Path) -> Path:
    """BENCH_CACHE as the node was started with, else the driver's path: the same folder, or one on the node's disk."""
    return Path(os.environ.get("BENCH_CACHE", marker.parent)).expanduser().absolute()


def _at_home(arg: Any, cache: Path) -> Any:
    return replace(arg, cache=cache) if isinstance(arg, Places) else arg


def _call(job: Job, setting: Setting) -> tuple[str, Any]:
    last = 0.0

    def emit(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            setting.told.actor.put_nowait.remote((job.key, done, total))  # its answer is not waited for

    try:
        return "result", job.call(emit)
    except UserError as error:
        return "user_error", str(error)
    except Exception:
        return "crash", traceback.format_exc()

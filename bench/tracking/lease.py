"""One driver at a time on a study, whatever machine each is on: drivers show themselves in the store, as MLflow runs.

MLflow has no compare-and-set, so the rule is the oldest one: show yourself, then look. Of two drivers that start at
once at least one sees the other, and whoever sees another one that lives withdraws; only a driver that saw none goes
on. Whether a driver lives is told by its beat changing while we watch: no clock is compared with another machine's.
"""

from __future__ import annotations

import platform
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mlflow.entities import Run

from bench.core.errors import UserError
from bench.core.processes import alive, process_mark
from bench.core.schema import Purpose, Tag
from bench.tracking.store.client import MlflowClient

BEAT_SECONDS = 5.0
SILENT_SECONDS = 20.0
"""A driver that does not beat for so long is taken for dead: its machine is lost, or its network."""

TRIES = 6
"""Of drivers that keep starting at the same moments."""


@contextmanager
def held(
    uri: str, experiment_id: str, study: str, say: Callable[[str], None], lost: Callable[[], None]
) -> Iterator[None]:
    """Be the study's only driver. `lost` is called, in another thread, if another one took this one for dead.

    Raises `UserError` where another driver has the study.
    """
    claim = _claim_study(MlflowClient(uri), experiment_id, study, say)
    claim.set(Tag.DRIVER, "holds")
    claim.lost = lost
    try:
        yield
    finally:
        claim.close()


def _claim_study(client: MlflowClient, experiment_id: str, study: str, say: Callable[[str], None]) -> _Claim:
    for _ in range(TRIES):
        claim = _Claim.open(client, experiment_id)
        try:
            others = _close_dead_and_list_living(client, experiment_id, claim.run_id, say)
        except BaseException:
            claim.close()
            raise
        if not others:
            return claim
        claim.close()
        for other in others:
            if other.data.tags.get(Tag.DRIVER) == "holds":
                where = other.data.tags.get(Tag.HOST, "another machine")
                raise UserError(
                    f"study {study!r} is being run from {where} on this store; wait for it or stop it"
                )
        time.sleep(random.uniform(0.2, 1.0) * BEAT_SECONDS)
    raise UserError(f"study {study!r}: other drivers keep starting on this store; start one of them only")


def _close_dead_and_list_living(
    client: MlflowClient, experiment_id: str, own: str, say: Callable[[str], None]
) -> list[Run]:
    """The other drivers, once each has been seen to beat; those that do not are closed."""
    watched = {run.info.run_id: run for run in _drivers(client, experiment_id, own)}
    for run_id, run in list(watched.items()):
        tags = run.data.tags
        if tags.get(Tag.HOST) == platform.node() and not alive(tags.get(Tag.PID, "")):
            _close(client, run_id)
            del watched[run_id]
    if watched:
        hosts = ", ".join(sorted({run.data.tags.get(Tag.HOST, "?") for run in watched.values()}))
        say(f"a driver on {hosts} has this study: waiting up to {SILENT_SECONDS:.0f} s for a sign of life")
    living: list[Run] = []
    deadline = time.monotonic() + SILENT_SECONDS
    while watched and time.monotonic() < deadline and not living:
        time.sleep(BEAT_SECONDS / 5)
        now = {run.info.run_id: run for run in _drivers(client, experiment_id, own)}
        watched = {
            run_id: run for run_id, run in watched.items() if run_id in now
        }  # others have gone meanwhile
        living = [now[i] for i, run in watched.items() if _beat(now[i]) != _beat(run)]
    if not living:
        for run_id in watched:
            _close(client, run_id)
    return living


def _drivers(client: MlflowClient, experiment_id: str, own: str) -> list[Run]:
    shown = f"tags.{Tag.PURPOSE} = '{Purpose.DRIVER}' AND attributes.status = 'RUNNING'"
    return [run for run in client.search_runs([experiment_id], shown) if run.info.run_id != own]


def _beat(run: Run) -> str:
    return run.data.tags.get(Tag.BEAT, "")


def _close(client: MlflowClient, run_id: str) -> None:
    """Ended, and out of sight: it says nothing about the study."""
    client.set_terminated(run_id, "KILLED")
    client.delete_run(run_id)


@dataclass
class _Claim:
    """This driver as others see it, with a thread that beats."""

    client: MlflowClient
    run_id: str
    lost: Callable[[], None] | None = None

    @classmethod
    def open(cls, client: MlflowClient, experiment_id: str) -> _Claim:
        tags = {
            Tag.PURPOSE: Purpose.DRIVER,
            Tag.DRIVER: "starts",
            Tag.BEAT: "0",
            Tag.HOST: platform.node(),
            Tag.PID: process_mark(),
        }
        run = client.create_run(experiment_id, tags=tags, run_name=f"driver on {platform.node()}")
        return cls(client, run.info.run_id)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def set(self, key: str, value: str) -> None:
        self.client.set_tag(self.run_id, key, value)

    def _beat(self) -> None:
        beats = 0
        while not self._over.wait(BEAT_SECONDS):
            with suppress(Exception):  # the store is away: so it is for those who would watch
                beats += 1
                self.set(Tag.BEAT, str(beats))
                if self.client.get_run(self.run_id).info.status != "RUNNING" and not self._over.is_set():
                    if self.lost:
                        self.lost()
                    return

    def close(self) -> None:
        self._over.set()
        self._thread.join(2 * BEAT_SECONDS)
        with suppress(Exception):  # what cannot be said now, the next driver finds out by watching
            _close(self.client, self.run_id)

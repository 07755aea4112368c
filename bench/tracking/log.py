"""One MLflow run being written. The training thread never waits for it: metrics go through a queue, in batches.

While the store is away the queue grows, and what ends a run waits for it, as long as `bench.tracking.store.patience` says.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from mlflow.entities import Metric as Point
from mlflow.entities import RunTag
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from bench.core.schema import Status, Tag
from bench.core.secrets import redacted
from bench.tracking.opening import Opening
from bench.tracking.store import patience
from bench.tracking.store.transient import transient
from bench.tracking.system import Monitor

FLUSH_SECONDS = 2.0
"""Metrics wait at most this long for company before they are sent in one batch."""

PER_BATCH = 1000
"""Metrics that MLflow takes at once."""

MLFLOW_STATUS = {
    Status.FINISHED: "FINISHED",
    Status.FAILED: "FAILED",
    Status.DIVERGED: "FAILED",
    Status.PRUNED: "KILLED",
    Status.KILLED: "KILLED",
}


class RunLog:
    """One MLflow run being written, from `opening` on. Where the store is away just then, its thread makes the run."""

    def __init__(self, opening: Opening, system_metrics: bool) -> None:
        self.client = opening.client
        self._opening = opening
        self._opened: Future[str] = Future()
        self._patience = patience.unlimited()  # until somebody waits
        self._queue: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._ended = False
        try:
            with patience.withheld():
                self._opened.set_result(opening())
        except Exception as error:
            if not patience.left() or not transient(error):
                raise
        self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
        self._thread.start()
        self._monitor = Monitor(self.record, self.client.tracking_uri) if system_metrics else None
        if self._monitor:
            self._monitor.start()

    @property
    def mlflow_run_id(self) -> str:
        """MLflow's id of the run; waits for a store that was away when the run began."""
        if not self._opened.done():
            self._patience.limit(patience.left())
        return self._opened.result()

    def record(self, step: int, metrics: dict[str, float]) -> None:
        """Queue the metrics of one epoch; returns at once."""
        now = int(time.time() * 1000)
        for key, value in metrics.items():
            self._queue.put(Point(key, float(value), now, step))

    def finish(self, status: Status, metrics: dict[str, float], error: str | None = None) -> None:
        """Send everything, then the status: a run that says "finished" has all its numbers. Raises what sending raised.

        Only the first call's status counts: a signal that arrives while a finished run is being closed does not turn
        it into a killed one.
        """
        if self._ended:
            return
        self.record(0, metrics)
        if self._monitor:
            self._monitor.finish()
        self._queue.put(None)
        self._patience.limit(patience.left())
        self._thread.join()
        if self._error:
            raise self._error
        self._ended = True
        told = redacted(error, self.client.tracking_uri)[:5000] if error else ""
        tags = [RunTag(Tag.STATUS, status)] + ([RunTag(Tag.ERROR, told)] if error else [])
        self.client.log_batch(self.mlflow_run_id, tags=tags)
        self.client.set_terminated(self.mlflow_run_id, MLFLOW_STATUS[status])
        self._opening.close_duplicates()

    def abandon(self) -> None:
        """Nobody waits for this run any more: whoever finds it RUNNING without its process marks it killed."""
        self._patience.limit(0)
        self._queue.put(None)

    def folder(self, path: Path, name: str) -> None:
        """Log a folder as artifacts under `name`: all of it, or what there is is deleted, as far as that can be done."""
        with self._whole(name):
            self.client.log_artifacts(self.mlflow_run_id, str(path), name)

    def file(self, path: Path) -> None:
        """Log a file as an artifact of the same name, whole or not at all as `folder`.

        Not by the client: that reads the whole run first, to see where its artifacts lie.
        """
        with self._whole(path.name):
            repository = self._artifacts()
            patience.patiently(lambda: repository.log_artifact(str(path)))

    @contextmanager
    def _whole(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            with suppress(Exception):
                self._artifacts().delete_artifacts(name)
            raise

    def _artifacts(self) -> ArtifactRepository:
        assert self.mlflow_run_id  # the run is made by then
        return get_artifact_repository(self._opening.artifact_uri, self.client.tracking_uri)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one request."""
        self.client.log_batch(self.mlflow_run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def text(self, content: str, name: str) -> None:
        """Log a text as artifact `name`, without the passwords that a traceback may hold."""
        self.client.log_text(self.mlflow_run_id, redacted(content, self.client.tracking_uri), name)

    def _work(self) -> None:
        """The thread's life: the run is made, if it is not yet, then batches are sent to the end of the queue."""
        try:
            if not self._opened.done():
                self._opened.set_result(self._patience.call(self._opening))
            self._send(self._opened.result())
        except Exception as error:  # handed to `finish`, in the thread that can act on it
            self._error = error
            if not self._opened.done():
                self._opened.set_exception(error)

    def _send(self, run_id: str) -> None:
        open_ = True
        while open_:
            points, open_ = self._batch()
            if points:
                self._patience.call(partial(self.client.log_batch, run_id, metrics=points))

    def _batch(self) -> tuple[list[Point], bool]:
        """What the queue gives within `FLUSH_SECONDS`, and whether more may come."""
        points: list[Point] = []
        deadline = time.monotonic() + FLUSH_SECONDS
        while len(points) < PER_BATCH and (wait := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                point = self._queue.get(timeout=wait)
                if point is None:
                    return points, False
                points.append(point)
        return points, True

"""One MLflow run being written. The training thread never waits for it: metrics go through a queue, in batches."""

from __future__ import annotations

import json
import platform
import queue
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Metric as Point
from mlflow.entities import Param, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from bench import lock
from bench.processes import process_mark
from bench.schema import IMPORTANCE, Purpose, Status, Tag
from bench.spec import RunSpec
from bench.tracking import provenance
from bench.tracking.client import MlflowClient
from bench.tracking.plain import run_name, search_name
from bench.tuning.tuning import Tuning

FLUSH_SECONDS = 2.0
"""Metrics wait at most this long for company before they are sent in one batch."""

MLFLOW_STATUS = {
    Status.FINISHED: "FINISHED",
    Status.FAILED: "FAILED",
    Status.DIVERGED: "FAILED",
    Status.PRUNED: "KILLED",
    Status.KILLED: "KILLED",
}


class RunLog:
    """One MLflow run being written. Metrics go through a queue to a thread that sends them in batches."""

    def __init__(self, client: MlflowClient, mlflow_run_id: str, system_metrics: bool) -> None:
        self.client, self.mlflow_run_id = client, mlflow_run_id
        self._queue: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._send, name="metrics", daemon=True)
        self._thread.start()
        self._monitor = (
            SystemMetricsMonitor(mlflow_run_id, tracking_uri=client.tracking_uri) if system_metrics else None
        )
        if self._monitor:
            self._monitor.start()

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
            _last_sample(self._monitor)
            self._monitor.finish()
        self._queue.put(None)
        self._thread.join()
        if self._error:
            raise self._error
        self._ended = True
        tags = [RunTag(Tag.STATUS, status)] + ([RunTag(Tag.ERROR, error[:5000])] if error else [])
        self.client.log_batch(self.mlflow_run_id, tags=tags)
        self.client.set_terminated(self.mlflow_run_id, MLFLOW_STATUS[status])

    def folder(self, path: Path, name: str) -> None:
        """Log a folder as artifacts under `name`."""
        self.client.log_artifacts(self.mlflow_run_id, str(path), name)

    def text(self, content: str, name: str) -> None:
        self.client.log_text(self.mlflow_run_id, content, name)

    def _send(self) -> None:
        open_ = True
        while open_:
            points = []
            deadline = time.monotonic() + FLUSH_SECONDS
            while len(points) < 1000 and (wait := deadline - time.monotonic()) > 0:
                with suppress(queue.Empty):
                    point = self._queue.get(timeout=wait)
                    if point is None:
                        open_ = False
                        break
                    points.append(point)
            if points and self._error is None:
                try:
                    self.client.log_batch(self.mlflow_run_id, metrics=points)
                except Exception as error:  # handed to `finish`, in the thread that can act on it
                    self._error = error


def _last_sample(monitor: SystemMetricsMonitor) -> None:
    """One more sample at the end: the monitor samples every 10 s, and a shorter run would have none."""
    monitor.collect_metrics()
    monitor.publish_metrics(monitor.aggregate_metrics())


class Tracker:
    """Writes the runs of one study from one process."""

    def __init__(self, uri: str, experiment_id: str) -> None:
        self.uri = uri
        self.client = MlflowClient(uri)
        self.experiment_id = experiment_id

    def start(self, row: dict[str, Any], spec: RunSpec, system_metrics: bool) -> RunLog:
        """Create the MLflow run of a planned run, with every tag and parameter, in state RUNNING."""
        tags = run_tags(row, spec) | {Tag.PURPOSE: Purpose.FINAL}
        return RunLog(self.client, self._create(run_name(row), tags, flatten(spec)), system_metrics)

    def start_trial(self, parent: str, row: dict[str, Any], spec: RunSpec, number: int) -> RunLog:
        """The same of a trial, nested under the run of its search."""
        tags = run_tags({**row, "run_id": spec.run_id}, spec) | {
            Tag.PURPOSE: Purpose.TRIAL,
            Tag.PARENT: parent,
            Tag.TRIAL: str(number),
        }
        name = f"trial {number} | {search_name(row)}"
        return RunLog(self.client, self._create(name, tags, flatten(spec)), False)

    def open_search(self, row: dict[str, Any], tuning: Tuning) -> str:
        """The MLflow run of a search: the one it had when it was interrupted, or a new one. -> its id.

        Workers that share a search take turns, so that they find the same.
        """
        with lock.turn(self.uri, f"{self.experiment_id}/{tuning.tuning_id}"):
            return self._find_or_open(row, tuning)

    def _find_or_open(self, row: dict[str, Any], tuning: Tuning) -> str:
        mine = f"tags.`{Tag.TUNING_ID}` = '{tuning.tuning_id}'"
        found = self.client.search_runs([self.experiment_id], mine, max_results=1)
        if found:
            run_id = found[0].info.run_id
            self.client.update_run(run_id, status="RUNNING")
            self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in _running().items()])
            return run_id
        tags = run_tags(row, tuning.spec) | {Tag.PURPOSE: Purpose.TUNING, Tag.TUNING_ID: tuning.tuning_id}
        params = {f"search.{s.name}": f"{s.text}, default {s.default}" for s in tuning.space}
        method = {f"tune.{k}": v for k, v in asdict(tuning.method).items()}
        return self._create(
            f"search: {search_name(row)}", tags, {**params, **method, "seed": tuning.spec.seed}
        )

    def close_search(self, run_id: str, tuning: Tuning, found: Found) -> None:
        """What the search has chosen; the tag that says so is written last, and makes it count."""
        now = int(time.time() * 1000)
        metrics = found.metrics | {f"{IMPORTANCE}{k}": v for k, v in found.importances.items()}
        points = [Point(k, float(v), now, 0) for k, v in metrics.items()]
        tags = [RunTag(f"chosen.{k}", str(v)) for k, v in found.chosen.items()]
        self.client.log_batch(run_id, metrics=points, tags=tags)
        over = {Tag.BUDGET: str(tuning.budget), Tag.CHOSEN: json.dumps(found.chosen)}
        if found.error:
            over = {Tag.ERROR: found.error}
        status = Status.FAILED if found.error else Status.FINISHED
        self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in (over | {Tag.STATUS: status}).items()])
        self.client.set_terminated(run_id, MLFLOW_STATUS[status])

    def stop_search(self, run_id: str) -> None:
        """The search was interrupted."""
        self.client.set_tag(run_id, Tag.STATUS, Status.KILLED)
        self.client.set_terminated(run_id, MLFLOW_STATUS[Status.KILLED])

    def _create(self, name: str, tags: dict[str, str], params: dict[str, Any]) -> str:
        run = self.client.create_run(
            self.experiment_id, tags={**tags, **provenance.tags(), **_running()}, run_name=name
        )
        rows = [Param(k, str(v)[:6000]) for k, v in params.items()]
        for i in range(0, len(rows), 100):
            self.client.log_batch(run.info.run_id, params=rows[i : i + 100])
        return run.info.run_id


@dataclass(frozen=True)
class Found:
    """The end of a search. `error`: why it has chosen nothing."""

    chosen: dict[str, Any]
    metrics: dict[str, float]
    importances: dict[str, float]
    error: str | None = None


def _running() -> dict[str, str]:
    return {Tag.STATUS: Status.RUNNING, Tag.HOST: platform.node(), Tag.PID: process_mark()}


def run_tags(row: dict[str, Any], spec: RunSpec) -> dict[str, str]:
    """What a person filters and groups by."""
    keys = (
        Tag.DATASET,
        Tag.SIMILARITY,
        Tag.SIZE,
        Tag.CELL,
        Tag.N_PER_CLASS,
        Tag.BACKBONE,
        Tag.STRATEGY,
        Tag.SEED,
        Tag.SETTING,
    )
    return {
        Tag.RUN_ID: row["run_id"],
        **{key: str(row[key]) for key in keys},
        Tag.FREEZE: spec.strategy.freeze.name,
        Tag.LR_POLICY: " + ".join(p.name for p in spec.strategy.lr),
        Tag.REGULARIZE: " + ".join(p.name for p in spec.strategy.regularize),
        Tag.NUMERICS: spec.train.dtype,
    }


def flatten(spec: RunSpec) -> dict[str, Any]:
    """Every setting of a run as MLflow parameters: knobs as knob.<part>.<name>, the rest as train.*, dataset.*, ..."""
    strategy = spec.strategy
    flat: dict[str, Any] = {"n_per_class": spec.n_per_class, "seed": spec.seed, "strategy": strategy.label}
    for part in strategy.parts:
        flat |= {f"knob.{part.name}.{key}": value for key, value in part.knobs.items()}
    flat |= {f"train.{key}": value for key, value in asdict(spec.train).items()}
    sections = {
        "dataset": spec.dataset,
        "backbone": spec.backbone,
        "teacher": spec.teacher.backbone if spec.teacher else None,
    }
    for prefix, section in ((name, asdict(part)) for name, part in sections.items() if part):
        flat |= {
            f"{prefix}.{k}": json.dumps(v) if isinstance(v, dict) else v
            for k, v in section.items()
            if v or v == 0
        }
    return flat

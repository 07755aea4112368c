"""The only writer of MLflow. One experiment a study, one MLflow run a RunSpec; the training thread never waits for it."""

from __future__ import annotations

import json
import logging
import os
import platform
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow  # noqa: F401  (the client below needs the package configured)
import psutil
from mlflow.entities import Metric as Point
from mlflow.entities import Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from bench import store
from bench.schema import ARTIFACT_STUDY, Purpose, Status, Tag
from bench.spec import RunSpec

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.ERROR)

FLUSH_SECONDS = 2.0
"""Metrics wait at most this long for company before they are sent in one batch."""

MLFLOW_STATUS = {
    Status.FINISHED: "FINISHED",
    Status.FAILED: "FAILED",
    Status.DIVERGED: "FAILED",
    Status.PRUNED: "KILLED",
    Status.KILLED: "KILLED",
}


def open_store(uri: str, study: str) -> str:
    """Create or find the study's experiment, and return its id. Call it once, in the parent, before any worker.

    Concurrent first use of a fresh SQLite file loses its schema migration to a race.
    """
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return client.create_experiment(study, artifact_location=_artifact_location(uri, study))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def _artifact_location(uri: str, study: str) -> str | None:
    """Beside a SQLite file, whatever folder the study was launched from; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlruns" / study).as_uri()


class RunLog:
    """One MLflow run being written. Metrics go through a queue to a thread that sends them in batches."""

    def __init__(self, client: MlflowClient, mlflow_run_id: str, system_metrics: bool) -> None:
        self.client, self.mlflow_run_id = client, mlflow_run_id
        self._queue: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._error: Exception | None = None
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
        """Send everything, then the status: a run that says "finished" has all its numbers. Raises what sending raised."""
        self.record(0, metrics)
        if self._monitor:
            self._monitor.finish()
        self._queue.put(None)
        self._thread.join()
        if self._error:
            raise self._error
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


class Tracker:
    """Writes the runs of one study from one process."""

    def __init__(self, uri: str, experiment_id: str) -> None:
        self.client = MlflowClient(uri)
        self.experiment_id = experiment_id

    def start(self, row: dict[str, Any], spec: RunSpec, system_metrics: bool) -> RunLog:
        """Create the MLflow run of a planned run, with every tag and parameter, in state RUNNING."""
        tags = {
            **run_tags(row, spec),
            **_provenance(),
            Tag.PURPOSE: Purpose.FINAL,
            Tag.STATUS: Status.RUNNING,
            Tag.HOST: platform.node(),
            Tag.PID: process_mark(os.getpid()),
        }
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=_run_name(row))
        params = [Param(k, str(v)[:6000]) for k, v in flatten(spec).items()]
        for i in range(0, len(params), 100):
            self.client.log_batch(run.info.run_id, params=params[i : i + 100])
        return RunLog(self.client, run.info.run_id, system_metrics)


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
    )
    return {
        Tag.RUN_ID: row["run_id"],
        **{key: str(row[key]) for key in keys},
        Tag.FREEZE: spec.strategy.freeze.name,
        Tag.LR_POLICY: spec.strategy.lr.name,
        Tag.REGULARIZE: " + ".join(p.name for p in spec.strategy.regularize),
    }


def _run_name(row: dict[str, Any]) -> str:
    return f"{row['dataset']} n={row['n_per_class']} {row['backbone']} {row['strategy']} s{row['seed']}"


def flatten(spec: RunSpec) -> dict[str, Any]:
    """Every setting of a run as MLflow parameters: knobs as knob.<part>.<name>, the rest as train.*, dataset.*, ..."""
    strategy = spec.strategy
    flat: dict[str, Any] = {"n_per_class": spec.n_per_class, "seed": spec.seed, "strategy": strategy.label}
    for part in (strategy.freeze, strategy.lr, *strategy.regularize):
        flat |= {f"knob.{part.name}.{key}": value for key, value in part.knobs.items()}
    flat |= {f"train.{key}": value for key, value in asdict(spec.train).items()}
    for prefix, section in (("dataset", asdict(spec.dataset)), ("backbone", asdict(spec.backbone))):
        flat |= {
            f"{prefix}.{k}": json.dumps(v) if isinstance(v, dict) else v
            for k, v in section.items()
            if v or v == 0
        }
    return flat


def process_mark(pid: int) -> str:
    """A process named so that a later one with the same number is told apart."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def alive(mark: str) -> bool:
    with suppress(psutil.Error, ValueError):
        return process_mark(int(mark.split(":")[0])) == mark
    return False


def reap(uri: str, study: str, patience: float = 10.0) -> int:
    """Mark as killed the runs that a dead process of this machine left RUNNING. Returns how many.

    A writer that is just dying gets `patience` seconds to do so. Runs of other machines are left alone.
    """
    client = MlflowClient(uri)
    count = 0
    for run in store.read_runs(uri, study):
        tags = run["tags"]
        if run["status"] != "RUNNING" or tags.get(Tag.HOST) != platform.node():
            continue
        deadline = time.monotonic() + patience
        while alive(tags.get(Tag.PID, "")) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not alive(tags.get(Tag.PID, "")):
            client.set_tag(run["mlflow_run_id"], Tag.STATUS, Status.KILLED)
            client.set_terminated(run["mlflow_run_id"], "KILLED")
            count += 1
    return count


def write_study(uri: str, experiment_id: str, document: dict[str, Any]) -> str:
    """Store the study document as artifact of the experiment's one study run, and describe the experiment."""
    client = MlflowClient(uri)
    found = client.search_runs(
        [experiment_id], f"tags.{Tag.PURPOSE} = '{Purpose.STUDY}'", ViewType.ACTIVE_ONLY, 1
    )
    if found:
        run_id = found[0].info.run_id
    else:
        tags = {Tag.PURPOSE: Purpose.STUDY, **_provenance()}
        run_id = client.create_run(
            experiment_id, tags=tags, run_name=f"study: {document['name']}"
        ).info.run_id
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
    client.log_text(run_id, json.dumps(document, indent=1), ARTIFACT_STUDY)
    client.set_experiment_tag(experiment_id, "mlflow.note.content", _note(document))
    return run_id


def log_folder(uri: str, mlflow_run_id: str, folder: Path, name: str) -> None:
    """Log a folder as artifacts of a run that has ended, such as the study run's report."""
    MlflowClient(uri).log_artifacts(mlflow_run_id, str(folder), name)


def _note(document: dict[str, Any]) -> str:
    return (
        f"{document['question']}\n\n"
        f"The report is in the artifacts of the run *study: {document['name']}*.\n\n"
        f'- runs that count: `attributes.status = "FINISHED" and tags.{Tag.PURPOSE} = "{Purpose.FINAL}"`\n'
        f'- one cell of the matrix: `tags.{Tag.CELL} = "dissimilar-small"`; group by `{Tag.STRATEGY}`\n'
        f"- parts of a strategy: tags `{Tag.FREEZE}`, `{Tag.LR_POLICY}`, `{Tag.REGULARIZE}`\n"
    )


def _provenance() -> dict[str, str]:
    """Versions, commit: what a reader needs to make the same run again."""
    return {Tag.VERSIONS: json.dumps(versions()), Tag.GIT_COMMIT: git_commit()}


@lru_cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("finetune-bench", "torch", "torchvision", "timm", "mlflow", "mlflow-skinny", "optuna"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@lru_cache
def git_commit() -> str:
    """The commit of the checkout that this code runs from; "" where it is an installed package."""
    here = Path(__file__).resolve().parent
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""


@contextmanager
def translated() -> Iterator[None]:
    """MLflow's refusal of a store, as the user's mistake that it is."""
    from bench.errors import UserError

    try:
        yield
    except MlflowException as error:
        raise UserError(f"the tracking store cannot be used: {error.message}") from None

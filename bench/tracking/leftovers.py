"""Runs that a dead process left RUNNING: found by the process that wrote them, and marked killed."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence

from mlflow.entities import RunTag

from bench import store
from bench.processes import alive
from bench.schema import Purpose, Status, Tag
from bench.store.client import MlflowClient
from bench.tracking.plain import Tracking


def reap(uri: str, study: str, alone: bool = False, patience: float = 10.0) -> int:
    """Mark as killed the runs that a dead process left RUNNING. Returns how many.

    alone: this driver holds the study and has no worker at the moment, so every such run is a leftover, whatever
    machine wrote it. Otherwise only those of this machine are, whose process is gone; a writer that is just dying gets
    `patience` seconds to go.
    """
    tags = [Tag.HOST, Tag.PID, Tag.PURPOSE]
    running = store.read_runs(uri, study, tags=tags, params=(), metrics=(), status="RUNNING")
    if not running:
        return 0  # a store that does not exist yet is not made
    client = MlflowClient(uri)
    count = 0
    for run in running:
        if run["tags"].get(Tag.PURPOSE) == Purpose.DRIVER:
            continue
        if alone or _is_dead_here(run["tags"], patience):
            _kill(client, run["mlflow_run_id"], {})
            count += 1
    return count


def _is_dead_here(tags: dict[str, str], patience: float) -> bool:
    if tags.get(Tag.HOST) != platform.node():
        return False
    deadline = time.monotonic() + patience
    while alive(tags.get(Tag.PID, "")) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(tags.get(Tag.PID, ""))


def abandon(tracking: Tracking, run_ids: Sequence[str], cause: str) -> None:
    """Mark as killed what a lost worker left RUNNING of these planned runs: nothing of it runs any more."""
    client = MlflowClient(tracking.uri)
    for run_id in run_ids:
        mine = f"tags.`{Tag.RUN_ID}` = '{run_id}' AND attributes.status = 'RUNNING'"
        for run in client.search_runs([tracking.experiment_id], mine):
            _kill(client, run.info.run_id, {Tag.ERROR: f"its worker was lost: {cause}"[:5000]})


def _kill(client: MlflowClient, mlflow_run_id: str, tags: dict[str, str]) -> None:
    tags = {Tag.STATUS: Status.KILLED, **tags}
    client.log_batch(mlflow_run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])
    client.set_terminated(mlflow_run_id, "KILLED")

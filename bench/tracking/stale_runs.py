"""Runs that a dead process left RUNNING: found by the process that wrote them, and marked killed.

One that had said how it ended, and was cut off before MLflow's own status followed, keeps its word
(`bench.core.records.runs`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence

from mlflow.entities import RunTag

from bench.core.processes import alive
from bench.core.records.runs import OVER
from bench.core.schema import Purpose, Status, Tag
from bench.tracking import store
from bench.tracking.log import MLFLOW_STATUS
from bench.tracking.plain import Tracking
from bench.tracking.store.client import MlflowClient


def mark_killed(uri: str, study: str, alone: bool = False, patience: float = 10.0) -> int:
    """Mark as killed the runs that a dead process left RUNNING. Returns how many; those that had ended are not counted.

    alone: this driver holds the study and has no worker at the moment, so every such run is a leftover, whatever
    machine wrote it. Otherwise only those of this machine are, whose process is gone; a writer that is just dying gets
    `patience` seconds to go.
    """
    tags = [Tag.HOST, Tag.PID, Tag.PURPOSE, Tag.STATUS]
    running = store.read_runs(uri, study, tags=tags, params=(), metrics=(), status="RUNNING")
    if not running:
        return 0  # a store that does not exist yet is not made
    client = MlflowClient(uri)
    count = 0
    for run in running:
        if run.purpose == Purpose.DRIVER:
            continue
        if alone or _is_dead_here(run.tags, patience):
            count += _end(client, run.mlflow_run_id, run.tags, {})
    return count


def _is_dead_here(tags: dict[str, str], patience: float) -> bool:
    if tags.get(Tag.HOST) != platform.node():
        return False
    deadline = time.monotonic() + patience
    while alive(tags.get(Tag.PID, "")) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(tags.get(Tag.PID, ""))


def mark_lost_killed(tracking: Tracking, run_ids: Sequence[str], cause: str) -> None:
    """Mark as killed what a lost worker left RUNNING of these planned runs: nothing of it runs any more."""
    client = MlflowClient(tracking.uri)
    for run_id in run_ids:
        mine = f"tags.`{Tag.RUN_ID}` = '{run_id}' AND attributes.status = 'RUNNING'"
        for run in client.search_runs([tracking.experiment_id], mine):
            lost = {Tag.ERROR: f"its worker was lost: {cause}"[:5000]}
            _end(client, run.info.run_id, run.data.tags, lost)


def _end(client: MlflowClient, mlflow_run_id: str, told: Mapping[str, str], tags: dict[str, str]) -> bool:
    """End a run in MLflow: as its tags tell, or as killed, with these `tags`. -> whether it was killed"""
    status = told.get(Tag.STATUS, "")
    killed = status not in OVER
    if killed:
        new = {Tag.STATUS: Status.KILLED, **tags}
        client.log_batch(mlflow_run_id, tags=[RunTag(key, str(value)) for key, value in new.items()])
    client.set_terminated(mlflow_run_id, MLFLOW_STATUS[Status.KILLED if killed else Status(status)])
    return killed

"""Runs that a dead process left RUNNING: found by the process that wrote them, and marked killed."""

from __future__ import annotations

import platform
import time

from bench import store
from bench.processes import alive
from bench.schema import Status, Tag
from bench.tracking.client import MlflowClient


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

"""Reading the predictions that finished runs keep: one small file each, and only of the runs that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.core.errors import UserError
from bench.core.records.predictions import Predictions
from bench.core.records.runs import RunRecord
from bench.core.schema import ARTIFACT_PREDICTIONS, Tag
from bench.tracking.store import on_disk, read_artifact

AT_ONCE = 8
"""Requests to a server that are under way side by side: each file is one, and most of it is waiting."""


def has_predictions(run: RunRecord) -> bool:
    """Whether a run keeps its predictions, told by its tags alone: not so one of an earlier version."""
    return run.has_result and Tag.TEST_SET in run.tags


def read_predictions(uri: str, run: RunRecord) -> Predictions | None:
    """Those of one run; None where it keeps none. Raises `UserError` where the file is gone, or is damaged."""
    if not has_predictions(run):
        return None
    try:
        return Predictions.from_bytes(read_artifact(uri, run, ARTIFACT_PREDICTIONS))
    except (OSError, ValueError, UserError) as error:
        where = f"{ARTIFACT_PREDICTIONS} of MLflow run {run.mlflow_run_id} ({run.name})"
        raise UserError(f"{where} is unreadable: {error}") from error


def read_all(uri: str, runs: Sequence[RunRecord]) -> list[Predictions | UserError | None]:
    """The same of several, in their order; what cannot be read is an error in its place."""

    def read(run: RunRecord) -> Predictions | UserError | None:
        try:
            return read_predictions(uri, run)
        except UserError as error:
            return error

    if all(on_disk(run) for run in runs):
        return [read(run) for run in runs]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(read, runs))

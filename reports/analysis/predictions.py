"""The predictions of runs, read when they are asked for: rows have none of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.errors import UserError
from bench.core.records.predictions import Predictions
from bench.core.records.runs import RunRecord
from bench.tracking.predictions import has_predictions, read_all
from reports.analysis.rows import Row, StoredStudy

Found = dict[str, Predictions | UserError | None]
"""By MLflow's id of a run. An error: kept, and unreadable."""


def keeping(study: StoredStudy) -> dict[str, RunRecord]:
    """The runs that keep their predictions, by MLflow's id."""
    return {run.mlflow_run_id: run for run in study.runs if has_predictions(run)}


def read(study: StoredStudy, rows: Sequence[Row]) -> Found:
    """Of the runs of these rows that have any."""
    kept = keeping(study)
    runs = [kept[run_id] for row in rows if (run_id := row["mlflow_run_id"]) in kept]
    return {run.mlflow_run_id: one for run, one in zip(runs, read_all(study.uri, runs), strict=True)}


def column(study: StoredStudy) -> list[Predictions | None]:
    """Of each row of the study, None where a run has none. Raises `UserError` for one that cannot be read."""
    found = read(study, study.rows)
    values = [found.get(row["mlflow_run_id"] or "") for row in study.rows]
    for value in values:
        if isinstance(value, UserError):
            raise value
    return [value for value in values if not isinstance(value, UserError)]

"""Stored runs and study documents as plain dicts, for code that does not read the records yet (`reports`).

One adapter in front of `bench.tracking.store` and `.outcome`: the same functions, on dicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.core.records.runs import RunRecord
from bench.core.schema import Status
from bench.tracking import store
from bench.tracking.store import outcome

Row = dict[str, Any]


def row_of(run: RunRecord) -> Row:
    """mlflow_run_id, name, status (MLflow's), start_time, end_time, artifact_uri, tags, params, metrics."""
    return {
        "mlflow_run_id": run.mlflow_run_id,
        "name": run.name,
        "status": run.mlflow_status,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "artifact_uri": run.artifact_uri,
        "tags": run.tags,
        "params": run.params,
        "metrics": run.metrics,
    }


def record_of(row: Mapping[str, Any]) -> RunRecord:
    """The reverse of `row_of`."""
    return RunRecord(
        row["mlflow_run_id"],
        row["name"],
        row["status"],
        row["start_time"],
        row["end_time"],
        row["artifact_uri"],
        row["tags"],
        row["params"],
        row["metrics"],
    )


def read_runs(uri: str, experiment: str, **wanted: Any) -> list[Row]:
    """`bench.tracking.store.read_runs` as dicts."""
    return [row_of(run) for run in store.read_runs(uri, experiment, **wanted)]


def study_document(uri: str, experiment: str, runs: Sequence[Row] | None = None) -> Row:
    """The JSON of the study document: what `StudyRecord.to_json` has written."""
    return store.read_document(uri, experiment, None if runs is None else [record_of(run) for run in runs])


def status(row: Row | None) -> Status:
    """The run's status; missing where nothing is stored."""
    return outcome.status(record_of(row) if row else None)


def finals(rows: Iterable[Row]) -> dict[str, Row]:
    """The chosen run of each identity."""
    pairs = [(record_of(row), row) for row in rows]
    row_of_record = {id(record): row for record, row in pairs}
    found = outcome.finals(record for record, _ in pairs)
    return {identity: row_of_record[id(record)] for identity, record in found.items()}


def searches(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """The search that counts, by identity and budget."""
    pairs = [(record_of(row), row) for row in rows]
    row_of_record = {id(record): row for record, row in pairs}
    found = outcome.searches(record for record, _ in pairs)
    return {key: row_of_record[id(record)] for key, record in found.items()}

"""MLflow's tables, read by SQL: what MLflow's own client takes minutes for, in seconds. Used through `bench.tracking.store`.

Tables: experiments, runs, tags, params, latest_metrics, metrics; the same since MLflow 1, and the same in SQLite
(`bench.tracking.store.sqlite`) and PostgreSQL (`bench.tracking.store.postgres`), which give a `Select` each. Only what
is wanted is read: planning needs one metric of a run's thirty. Queries only, so it works while others write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from bench.core.records.runs import MetricValue, RunRecord

Select = Callable[[str, Sequence[Any]], Sequence[Any]]
"""Query with `?` for each value -> rows; all calls within one transaction, so that all tables are of one moment."""

# in the order of `RunRecord`'s fields
RUN_COLUMNS = ("run_uuid", "name", "status", "start_time", "end_time", "artifact_uri")
ACTIVE = "e.name = ? AND e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active'"
VALUE = "CASE WHEN is_nan THEN NULL ELSE value END"  # nan is stored as 0 with a flag
OF_RUNS = (("tags", "tags", "value"), ("params", "params", "value"), ("metrics", "latest_metrics", VALUE))


@dataclass(frozen=True)
class Wanted:
    """Which runs of an experiment, and what of each.

    tags, params, metrics: keys; None: all. tagged: key -> values, of which a run must have one, for each key.
    status: MLflow's; None: any.
    """

    tags: Sequence[str] | None = None
    params: Sequence[str] | None = None
    metrics: Sequence[str] | None = None
    tagged: Mapping[str, Sequence[str]] = field(default_factory=dict)
    status: str | None = None


def experiment_ids(select: Select, stage: str = "active") -> dict[str, str]:
    """The ids of the experiments that are active, or "deleted", by name."""
    found = select("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = ?", [stage])
    return {name: str(number) for name, number in found}


def runs(select: Select, experiment: str, wanted: Wanted) -> list[RunRecord]:
    """The active runs, in any order."""
    which, values = _which(experiment, wanted)
    columns = ", ".join(RUN_COLUMNS)
    rows = select(f"SELECT {columns} FROM runs WHERE run_uuid IN ({which})", values)
    found = {row[0]: _run(*row) for row in rows}
    for name, table, value in OF_RUNS:
        keys = getattr(wanted, name)
        if found and (keys is None or keys):
            only = "" if keys is None else f" AND key IN ({_marks(keys)})"
            query = f"SELECT run_uuid, key, {value} FROM {table} WHERE run_uuid IN ({which}){only}"
            contents = {run_id: getattr(run, name) for run_id, run in found.items()}
            for run_id, key, content in select(query, [*values, *(keys or [])]):
                contents[run_id][intern(key)] = _or_nan(content) if name == "metrics" else content
    return list(found.values())


def history(select: Select, experiment: str, keys: Sequence[str]) -> list[MetricValue]:
    """All values of `keys` in the order they were logged."""
    if not keys:
        return []
    which, values = _which(experiment, Wanted())
    query = (
        f"SELECT run_uuid, key, step, {VALUE} FROM metrics WHERE key IN ({_marks(keys)})"
        f" AND run_uuid IN ({which}) ORDER BY timestamp"
    )
    return [
        MetricValue(run_id, key, step, _or_nan(value))
        for run_id, key, step, value in select(query, [*keys, *values])
    ]


def _run(
    run_id: str, name: str, status: str, start: int | None, end: int | None, artifacts: str
) -> RunRecord:
    return RunRecord(run_id, name, status, start, end, artifacts, {}, {}, {})


def _which(experiment: str, wanted: Wanted) -> tuple[str, list[Any]]:
    """The subquery of the wanted runs' ids, and its values."""
    query = f"SELECT r.run_uuid FROM runs r JOIN experiments e USING (experiment_id) WHERE {ACTIVE}"
    values: list[Any] = [experiment]
    if wanted.status is not None:
        query += " AND r.status = ?"
        values.append(wanted.status)
    for key, allowed in wanted.tagged.items():
        query += (
            f" AND r.run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value IN ({_marks(allowed)}))"
        )
        values += [key, *allowed]
    return query, values


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"  # PostgreSQL takes no empty list


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value

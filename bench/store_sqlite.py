"""MLflow's SQLite schema, read with the standard library only. Used through `bench.store`.

Tables: experiments, runs, tags, params, latest_metrics, metrics; the same since MLflow 1. Queries only, so it
works while others write, in rollback and in WAL mode alike. The file is opened `mode=rw` (SQLite falls back to
reading where the file is write-protected): a writer that was killed inside a transaction leaves a hot journal,
and only a connection that may write can roll it back (https://www.sqlite.org/lockingv3.html#hot_journals).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.errors import UserError

BUSY_SECONDS = 30.0  # how long a read waits for a writer's lock
RUN_COLUMNS = ("run_uuid", "name", "status", "start_time", "end_time", "artifact_uri")
ACTIVE = (
    "SELECT r.run_uuid FROM runs r JOIN experiments e USING (experiment_id)"
    " WHERE e.name = ? AND e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active'"
)
VALUE = "CASE WHEN is_nan THEN NULL ELSE value END"  # nan is stored as 0 with a flag


def experiment_ids(path: Path) -> dict[str, str]:
    """The ids of the active experiments, by name; {} without a file."""
    with _reading(path) as select:
        found = select("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'")
    return {name: str(number) for name, number in found}


def runs(path: Path, experiment: str) -> list[dict[str, Any]]:
    """The active runs with tags, params and last metrics, in any order; [] without a file."""
    with _reading(path) as select:
        query = f"SELECT {', '.join(RUN_COLUMNS)} FROM runs WHERE run_uuid IN ({ACTIVE})"
        found = {row[0]: _run(row) for row in select(query, [experiment])}
        for table, value in (("tags", "value"), ("params", "value"), ("latest_metrics", VALUE)):
            query = f"SELECT run_uuid, key, {value} FROM {table} WHERE run_uuid IN ({ACTIVE})"
            for run_id, key, content in select(query, [experiment]):
                name = table.removeprefix("latest_")
                found[run_id][name][key] = _or_nan(content) if name == "metrics" else content
    return list(found.values())


def history(path: Path, experiment: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """All values of `keys` in the order they were logged."""
    query = (
        f"SELECT run_uuid, key, step, {VALUE} FROM metrics WHERE key IN ({', '.join('?' * len(keys))})"
        f" AND run_uuid IN ({ACTIVE}) ORDER BY timestamp"
    )
    with _reading(path) as select:
        return [
            {"mlflow_run_id": run_id, "key": key, "step": step, "value": _or_nan(value)}
            for run_id, key, step, value in select(query, [*keys, experiment])
        ]


def _run(row: tuple[Any, ...]) -> dict[str, Any]:
    keys = ("mlflow_run_id", *RUN_COLUMNS[1:])
    return dict(zip(keys, row, strict=True)) | {"tags": {}, "params": {}, "metrics": {}}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A `select(query, values)` within one transaction, so that all tables are of one moment."""
    if not path.is_file():
        yield lambda *_: []
        return
    address = f"{path.resolve().as_uri()}?mode=rw"
    try:
        opened = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(opened) as database:
            database.execute("PRAGMA query_only = ON")
            database.execute("BEGIN")
            yield lambda query, values=(): _select(database, query, values)
    except sqlite3.Error as error:
        raise UserError(f"store {path} is not readable as an MLflow database: {error}") from error


def _select(database: sqlite3.Connection, query: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of `query`; none while a new database's tables are still being made."""
    try:
        return database.execute(query, tuple(values)).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise

"""MLflow's SQLite file, opened with the standard library only: planning need not wait for MLflow's import.

The file is opened `mode=rw` (SQLite falls back to reading where the file is write-protected): a writer that was killed
inside a transaction leaves a hot journal, and only a connection that may write can roll it back
(https://www.sqlite.org/lockingv3.html#hot_journals). Rollback and WAL mode are read alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.tracking.store.sql import Select

BUSY_SECONDS = 30.0  # how long a read waits for a writer's lock


@contextmanager
def reading(path: Path) -> Iterator[Select]:
    """Rows of queries within one transaction; none where there is no file, which is not made."""
    if not path.is_file():
        yield lambda *_: []
        return
    address = f"{path.resolve().as_uri()}?mode=rw"
    try:
        opened = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(opened) as database:
            database.execute("PRAGMA query_only = ON")
            database.execute("BEGIN")
            yield lambda query, values: _select(database, query, values)
    except sqlite3.Error as error:
        raise UserError(f"store {path} is not readable as an MLflow database: {error}") from error


def _select(database: sqlite3.Connection, query: str, values: Sequence[Any]) -> Sequence[Any]:
    """Rows of `query`; none while a new database's tables are still being made."""
    try:
        return database.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise

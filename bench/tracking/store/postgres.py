"""MLflow's PostgreSQL database, opened as MLflow opens it, by SQLAlchemy, which comes with it and is far lighter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.tracking.store.sql import Select


@contextmanager
def reading(uri: str) -> Iterator[Select]:
    """Rows of queries within one transaction, in which the database stands still; none before MLflow has made its tables.

    Raises what SQLAlchemy and the driver raise.
    """
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("latest_metrics"):  # the last of those that are read
            yield lambda *_: []
            return

        def select(query: str, values: Sequence[Any]) -> Sequence[Any]:
            return connection.exec_driver_sql(query.replace("?", "%s"), tuple(values)).fetchall()

        yield select

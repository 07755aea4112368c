"""What MLflow, its database or a missing driver refuse, as one message that names the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.core.errors import UserError
from bench.core.secrets import redacted
from bench.tracking.compat import CAUSED_BY, END_OF_CAUSE, OUT_OF_DATE


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """What MLflow, its database or a driver that is not installed refuse, as a `UserError` that names the store."""
    try:
        yield
    except Exception as error:
        reason = _refusal(uri, error)
        if reason is None:
            raise
        raise UserError(f"store {redacted(uri)} cannot be used: {redacted(reason, uri)}") from error


OTHER_VERSION = (
    "its tables are of another version of MLflow than this one; where this one is the newer, `mlflow db upgrade` "
    "adapts them, once you have a copy"
)


def _refusal(uri: str, error: Exception) -> str | None:
    """The reason in one line; None for an error of another kind. Imports neither: who raised it has been imported."""
    if isinstance(error, ModuleNotFoundError):
        hint = "; pip install 'finetune-bench[postgres]'" if uri.startswith("postgres") else ""
        return f"the Python package {error.name} is not installed{hint}"
    mlflow, sqlalchemy, alembic = map(
        sys.modules.get, ("mlflow.exceptions", "sqlalchemy.exc", "alembic.util")
    )
    if alembic and isinstance(error, alembic.CommandError):
        return OTHER_VERSION
    if mlflow and isinstance(error, mlflow.MlflowException):
        if OUT_OF_DATE in str(error.message):
            return OTHER_VERSION
        message, unreached, cause = str(error.message).partition(CAUSED_BY)
        return (
            f"it does not answer: {cause.removesuffix(END_OF_CAUSE).rpartition(': ')[2]}"
            if unreached
            else message
        )
    if sqlalchemy and isinstance(error, sqlalchemy.SQLAlchemyError):
        return str(error).splitlines()[0]
    return None

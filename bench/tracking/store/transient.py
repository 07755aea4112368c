"""Which errors of a store pass: the same call, made again, may succeed. Told without importing who raises them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.core.errors import StoreAway

WORTH_IT = {408, 429, 500, 502, 503, 504}
"""HTTP: what MLflow's own client would try again. 500 too: its server answers so while its database is away."""

CODES = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}
"""MLflow's names for such answers."""

GONE = {"OperationalError", "InterfaceError", "TimeoutError", "PendingRollbackError"}
"""Classes of SQLAlchemy and psycopg: connections refused, cut or missing, deadlocks, a server that shuts down."""

DATABASE_GONE = re.compile(
    r"psycopg\S*\.(OperationalError|InterfaceError|errors\.AdminShutdown)|server closed the connection"
    r"|connection (is|was|already) closed|Can't reconnect until invalid transaction"
)
"""In what a server answers, which may call it a bad request."""

LIBRARIES = {"mlflow", "requests", "urllib3", "optuna", "sqlalchemy", "psycopg", "psycopg2"}

TRANSFER = re.compile(r"The following failures occurred while (up|down)loading")
CUT = re.compile(
    r"ConnectionError|Connection (refused|reset|aborted)|Max retries|[Tt]imed? ?out|\b(429|50[0234])\b"
)
"""MLflow transfers several files at once, and leaves of their errors the words alone."""


def transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: told by the error or by one that it was raised for."""
    if isinstance(error, StoreAway):
        return False
    verdicts = (_verdict(link) for link in chain(error))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def _verdict(error: BaseException) -> bool | None:
    """None: it depends on what it was raised for. By name where that saves importing who knows the class."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in WORTH_IT
    if isinstance(error, requests.Timeout | requests.ConnectionError | requests.exceptions.RetryError):
        return True
    if isinstance(error, requests.exceptions.ChunkedEncodingError | ConnectionError | TimeoutError):
        return True
    package, name = type(error).__module__.split(".")[0], type(error).__name__
    if package == "sqlite3":
        return "locked" in str(error) or "busy" in str(error)
    if package in ("sqlalchemy", "psycopg", "psycopg2"):
        return _of_database(error)
    if package == "mlflow":
        return _of_mlflow(error, name)
    return None


def _of_database(error: BaseException) -> bool | None:
    origin = getattr(error, "orig", None)
    if origin is not None and type(origin).__module__.split(".")[0] == "sqlite3":
        return _verdict(origin)
    gone = any(parent.__name__ in GONE for parent in type(error).__mro__)
    return True if gone or getattr(error, "connection_invalidated", False) else None


def _of_mlflow(error: BaseException, name: str) -> bool | None:
    text = str(error)
    if name == "RestException":
        code = getattr(error, "error_code", "")
        status = int(error.get_http_status_code())  # type: ignore[attr-defined]
        return code in CODES or status in WORTH_IT or bool(DATABASE_GONE.search(text))
    return bool(CUT.search(text)) if TRANSFER.search(text) else None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, what it was raised for, and so on to the first. Of libraries also what they forget to name as the cause."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        implicit = type(error).__module__.split(".")[0] in LIBRARIES and not error.__suppress_context__
        error = error.__cause__ or (error.__context__ if implicit else None)

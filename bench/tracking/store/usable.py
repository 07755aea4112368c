"""Whether the stores of a study can be used, told before anything is prepared, and without leaving a trace.

MLflow and Optuna find out when they make or open a store, which happens late: bad images and checkpoints must not leave
one behind. And both make their tables in whatever database they are given, also in one of another program.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from bench.core.errors import UserError
from bench.core.secrets import redacted
from bench.tracking.store import sqlite_path, translated

DATABASES = ("postgresql", "mysql", "mssql")
KNOWN = "sqlite:///FILE.db, http(s)://HOST:PORT of an MLflow server, or postgresql://HOST/DATABASE"
MLFLOW, OPTUNA = "experiments", "studies"  # a table that no other program's database has beside alembic's


def check_address(what: str, uri: str) -> None:
    """Raises `UserError` for an address that is none, and for stores that other processes cannot share."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port  # the latter is checked when it is read
    except ValueError as error:
        raise UserError(f"{what} {redacted(uri)}: {str(error)[0].lower()}{str(error)[1:]}") from None
    scheme = parts.scheme.partition("+")[0]
    if scheme == "sqlite":
        path = sqlite_path(uri)
        if path is None or path.name in ("", ":memory:"):
            raise UserError(f"{what} {uri}: not a file; write sqlite:///FILE.db, with three slashes")
    elif scheme == "databricks" or uri == "databricks":
        return
    elif scheme not in ("http", "https", *DATABASES):
        near = f"; did you mean sqlite:///{uri}?" if uri.endswith((".db", ".sqlite")) and not scheme else ""
        raise UserError(f"{what} {redacted(uri)}: no kind of store that is known here{near}; known: {KNOWN}")
    elif not host:
        raise UserError(f"{what} {redacted(uri)}: names no host; known: {KNOWN}")


def check_store(uri: str) -> None:
    """Raises `UserError` for a tracking store that is a file, and cannot be one of ours."""
    check_address("store", uri)
    if path := sqlite_path(uri):
        check_file("store", path, MLFLOW)


def check_storage(url: str) -> None:
    """The same of Optuna's, an address or the path of a journal."""
    if "://" not in url:
        check_file("tune.storage", Path(url))
        return _check_journal(Path(url))
    check_address("tune.storage", url)
    if path := sqlite_path(url):
        check_file("tune.storage", path, OPTUNA)


def check_version(uri: str) -> None:
    """Raises `UserError` where MLflow does not take the store's tables, of another version perhaps. Makes no new store."""
    path = sqlite_path(uri)
    if path and not (path.is_file() and path.stat().st_size):
        return
    with translated(uri):
        from bench.tracking.store.client import MlflowClient

        MlflowClient(uri).search_experiments(max_results=1)


def check_file(what: str, path: Path, table: str | None = None) -> None:
    """Raises `UserError` where the file cannot be written or made, or is a SQLite database without this `table`."""
    if path.is_dir():
        raise UserError(f"{what} {path} is a folder, not a file")
    if path.is_symlink() and not path.exists():
        raise UserError(f"{what} {path} is a link that leads nowhere")
    try:
        if path.exists():
            with path.open("r+b") as file:
                empty = not file.read(1)
            if table and not empty:
                _check_tables(what, path, table)
        with tempfile.TemporaryFile(dir=_existing(path.parent)):  # a journal must find place beside it
            return
    except OSError as error:
        raise UserError(f"{what} {path} cannot be written: {error.strerror}") from None


def _existing(folder: Path) -> Path:
    """`folder`, or the first above it that exists: the rest is made."""
    return next(f for f in (folder, *folder.parents) if f.exists())


def _check_journal(path: Path) -> None:
    try:
        with path.open("rb") as file:
            line = file.readline(100_000)
        if line and "op_code" not in json.loads(line):
            raise ValueError
    except FileNotFoundError:
        return
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"tune.storage {path} is no journal of Optuna's; give it a file of its own") from None


def _check_tables(what: str, path: Path, table: str) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            tables = [
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
    except sqlite3.Error as error:
        raise UserError(f"{what} {path} is no SQLite database: {error}") from None
    if tables and table not in tables:
        raise UserError(
            f"{what} {path} belongs to another program (it has the tables {', '.join(sorted(tables)[:3])}); "
            "give it a file of its own"
        )

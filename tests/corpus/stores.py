"""Stores: what is no database, belongs to another program, may not be written, or does not answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.corpus.case import RUN, Bad, Maker, study

KNOWN = "known: sqlite:///FILE.db, http(s)://HOST:PORT of an MLflow server, or postgresql://HOST/DATABASE"


def store(name: str, uri: str, message: str, make: Callable[[Path], object] | None = None) -> Bad:
    return Bad(name, _with(make), message, (*RUN, "--store", uri))


def storage(name: str, url: str, message: str, make: Callable[[Path], object] | None = None) -> Bad:
    tune = ("system_metrics", f"tune: {{trials: 3, storage: '{url}'}}\nsystem_metrics")
    return Bad(name, _with(make, tune), message)


def _with(make: Callable[[Path], object] | None, *edits: tuple[str, str]) -> Maker:
    def both(folder: Path) -> object:
        study(*edits)(folder)
        return make(folder) if make else None

    return both


def text(folder: Path) -> None:
    (folder / "x.db").write_text("this is not a database, whatever its name says" * 100)


def a_folder(folder: Path) -> None:
    (folder / "x.db").mkdir()


def a_link_to_itself(folder: Path) -> None:
    (folder / "x.db").symlink_to("x.db")


def truncated(folder: Path) -> None:
    tables(folder, "experiments", "runs", "customers")
    (folder / "x.db").write_bytes((folder / "x.db").read_bytes()[:5000])


def tables(folder: Path, *names: str) -> None:
    with closing(sqlite3.connect(folder / "x.db")) as database:
        for name in names:
            database.execute(f"CREATE TABLE {name} (version_num TEXT)")
        database.commit()


def customers(folder: Path) -> None:
    tables(folder, "customers", "orders")


def of_optuna(folder: Path) -> None:
    tables(folder, "alembic_version", "studies", "trials")


def of_another_version(folder: Path) -> None:
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import create_engine, text
    from sqlalchemy.schema import CreateTable

    engine = create_engine(f"sqlite:///{folder / 'x.db'}")
    with engine.begin() as database:
        for table in models.Base.metadata.sorted_tables:
            database.execute(CreateTable(table))
        database.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        database.execute(text("INSERT INTO alembic_version VALUES ('0123456789ab')"))
    engine.dispose()


class _Elsewhere(BaseHTTPRequestHandler):
    """Not MLflow: /404 is unknown to it, everything else a page."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path.startswith("/404") else 200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>hello</title>")

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


@cache
def elsewhere() -> int:
    """The port of a web server on loopback, which ends with this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


CASES: list[Bad] = [
    store("text", "sqlite:///x.db", "store DIR/x.db is not readable as an MLflow database: file is not a database", text),
    store("a truncated database", "sqlite:///x.db", "store DIR/x.db is not readable as an MLflow database: …", truncated),
    store("a folder", "sqlite:///x.db", "store DIR/x.db is a folder, not a file", a_folder),
    store("a link to itself", "sqlite:///x.db", "store DIR/x.db is a link that leads nowhere", a_link_to_itself),
    store("a database of another program", "sqlite:///x.db", "store DIR/x.db belongs to another program (it has the tables customers, orders); give it a file of its own", customers),
    store("Optuna's database", "sqlite:///x.db", "store DIR/x.db belongs to another program (it has the tables alembic_version, studies, trials); give it a file of its own", of_optuna),
    store("MLflow's tables of another version", "sqlite:///x.db", "store sqlite:///DIR/x.db cannot be used: its tables are of another version of MLflow than this one; where this one is the newer, `mlflow db upgrade` adapts them, once you have a copy", of_another_version),
    store("a file below a file", "sqlite:///study.yaml/x.db", "store DIR/study.yaml/x.db cannot be written: …"),
    store("a folder that takes no files", "sqlite:////proc/x.db", "store /proc/x.db cannot be written: …"),
    store("in memory", "sqlite://", "store sqlite://: not a file; write sqlite:///FILE.db, with three slashes"),
    store("in memory, by name", "sqlite:///:memory:", "store sqlite:///DIR/:memory:: not a file; write sqlite:///FILE.db, with three slashes"),
    store("a slash too few", "sqlite://x.db", "store sqlite://x.db: not a file; write sqlite:///FILE.db, with three slashes"),
    store("no file", "sqlite:///", "store DIR is a folder, not a file"),
    store("a path", "mlflow.db", f"store mlflow.db: no kind of store that is known here; did you mean sqlite:///mlflow.db?; {KNOWN}"),
    store("a folder of files", "./mlruns", f"store ./mlruns: no kind of store that is known here; {KNOWN}"),
    store("a folder of files, by its scheme", "file:///mlruns", f"store file:///mlruns: no kind of store that is known here; {KNOWN}"),
    store("an unknown scheme", "foo://bar", f"store foo://bar: no kind of store that is known here; {KNOWN}"),
    store("a server without name", "http://", "store http://: names no host; known: sqlite:///FILE.db, http(s)://HOST:PORT of an MLflow server, or postgresql://HOST/DATABASE"),
    store("a port that there is not", "http://127.0.0.1:99999", "store http://127.0.0.1:99999: port out of range 0-65535"),
    store("half an address", "http://[::1", "store http://[::1: invalid IPv6 URL"),
    store("a server that does not answer", "http://127.0.0.1:9", "store http://127.0.0.1:9 cannot be used: it does not answer: …"),
    store("a server of an unknown name", "http://no-such-host.invalid:5000", "store http://no-such-host.invalid:5000 cannot be used: it does not answer: …"),
    store("a page of the web", "http://127.0.0.1:PORT", "store http://127.0.0.1:PORT cannot be used: API request to endpoint was successful but the response body was not in a valid JSON format…", lambda folder: elsewhere()),
    store("a server that is not MLflow's", "http://127.0.0.1:PORT/404", "store http://127.0.0.1:PORT/404 cannot be used: API request to endpoint /api/2.0/mlflow/experiments/get-by-name failed with error code 404 != 200. Response body: '<!doctype html><title>hello</title>'", lambda folder: elsewhere()),
    store("a PostgreSQL that does not answer", "postgresql://me:secret@127.0.0.1:9/db", "store postgresql://…@127.0.0.1:9/db cannot be used: …Connection refused"),
    store("a database without its driver", "mysql://me:secret@127.0.0.1:9/db", "store mysql://…@127.0.0.1:9/db cannot be used: the Python package MySQLdb is not installed"),
    storage("searches in text", "sqlite:///x.db", "tune.storage DIR/x.db is no SQLite database: …", text),
    storage("searches in a database of another program", "sqlite:///x.db", "tune.storage DIR/x.db belongs to another program (it has the tables customers, orders); give it a file of its own", customers),
    storage("searches in a journal that is a folder", "x.journal", "tune.storage DIR/x.journal is a folder, not a file", lambda folder: (folder / "x.journal").mkdir()),
    storage("searches in a journal that is none", "x.journal", "tune.storage DIR/x.journal is no journal of Optuna's; give it a file of its own", lambda folder: (folder / "x.journal").write_text("hello\n")),
    storage("searches in the database of the runs", "sqlite:///mlflow.db", "tune.storage: MLflow and Optuna cannot share a database; give Optuna one of its own"),
    storage("searches on a server that does not answer", "postgresql://me@127.0.0.1:9/db", "tune.storage: OperationalError: …Connection refused"),
    storage("searches in memory", "sqlite://", "study.yaml:14: tune.storage: the file must end in .db or .sqlite or .sqlite3, so that it is no other kind of file (is 'sqlite://')"),
    storage("searches of an unknown scheme", "redis://127.0.0.1", "tune.storage redis://127.0.0.1: no kind of store that is known here; known: sqlite:///FILE.db, http(s)://HOST:PORT of an MLflow server, or postgresql://HOST/DATABASE"),
    Bad("a study that the store does not have", lambda folder: None, "study 'nothing' is unknown in store sqlite:///DIR/mlflow.db", ("report", "nothing")),
]  # fmt: skip

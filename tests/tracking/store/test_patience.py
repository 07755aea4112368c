"""What is worth another try, how long is waited for it, and what the user hears: with real errors of real parts."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy

from bench.core.errors import StoreAway, UserError
from bench.tracking import store
from bench.tracking.store import patience
from bench.tracking.store.client import MlflowClient
from bench.tracking.store.patience import Patience
from bench.tracking.store.transient import transient

REFUSED = "http://127.0.0.1:9"


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names: /503/..."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def answers() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST", 0.01)
    monkeypatch.setattr(patience, "UNNOTICED", 0.0)


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_worth_another_try(answers: str, status: int) -> None:
    assert transient(raised(lambda: MlflowClient(f"{answers}/{status}").get_run("x")))
    assert transient(raised(lambda: store.read_runs(f"{answers}/{status}", "x"))), "as a UserError too"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_server_that_refuses_is_not(answers: str, status: int) -> None:
    assert not transient(raised(lambda: MlflowClient(f"{answers}/{status}").get_run("x")))


def test_no_connection_is_worth_another_try() -> None:
    assert transient(raised(lambda: MlflowClient(REFUSED).get_run("x")))
    assert transient(raised(lambda: store.experiment_ids(REFUSED)))


def test_a_database_that_is_away_is_said_at_once() -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    started = time.monotonic()
    for call in (MlflowClient, store.experiment_ids):
        assert transient(raised(lambda call=call: call("postgresql://me:hidden@127.0.0.1:9/runs")))
    assert time.monotonic() - started < 20, "MLflow's own tries take 100 s"


def test_sqlite_is_waited_for_where_it_is_locked_only(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'a.db'}", connect_args={"timeout": 0.01})
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (b)")

    def write(command: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(command)

    assert not transient(raised(lambda: write("INSERT INTO missing VALUES (1)")))
    with closing(sqlite3.connect(tmp_path / "a.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert transient(raised(lambda: write("INSERT INTO a VALUES (1)")))


def test_what_is_wrong_stays_wrong() -> None:
    for error in (UserError("no"), ValueError("no"), KeyError("timeout"), StoreAway("away")):
        assert not transient(error)


def failing(times: int) -> Callable[[], int]:
    """Refuses so often, then tells how often it was called."""
    calls = 0

    def call() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise ConnectionRefusedError("refused")
        return calls

    return call


def test_calls_are_repeated_and_the_user_hears_of_it_once() -> None:
    said: list[str] = []
    with patience.granted(said.append):
        assert patience.patiently(failing(5)) == 6
        assert len(said) == 2 and "does not answer" in said[0] and "answers again" in said[1]
        assert patience.patiently(failing(0)) == 1 and len(said) == 2


def test_a_moment_is_not_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "UNNOTICED", 2.0)
    said: list[str] = []
    with patience.granted(said.append):
        assert patience.patiently(failing(3)) == 4
    assert not said


def test_nothing_waits_unless_patience_was_granted() -> None:
    with pytest.raises(ConnectionRefusedError):
        patience.patiently(failing(1))


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(patience.VARIABLE, "0.3")
    started = time.monotonic()
    with (
        patience.granted(lambda message: None),
        pytest.raises(StoreAway, match=r"away for .* ConnectionRefused"),
    ):
        patience.patiently(failing(10_000))
    assert 0.3 <= time.monotonic() - started < 3


def test_reading_a_store_is_waited_for_as_well(answers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(patience.VARIABLE, "0.3")
    for read in (lambda uri: store.read_runs(uri, "x"), store.experiment_ids):
        started = time.monotonic()
        with patience.granted(lambda message: None), pytest.raises(StoreAway):
            read(f"{answers}/503")
        assert 0.3 <= time.monotonic() - started < 3


def test_a_nested_call_does_not_wait_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(patience.VARIABLE, "0.3")
    outer: list[int] = []

    @patience.patient
    def both() -> int:
        outer.append(1)
        return patience.patiently(failing(10_000))

    with patience.granted(lambda message: None), pytest.raises(StoreAway):
        both()
    assert len(outer) == 1


def test_what_is_wrong_with_the_call_itself_is_raised_at_once() -> None:
    with patience.granted(), pytest.raises(ValueError):
        patience.patiently(lambda: int("x"))


def test_a_limit_reaches_whoever_waits_already() -> None:
    waiting = Patience(1000.0, lambda message: None)
    ended: list[Exception] = []
    thread = threading.Thread(target=lambda: ended.append(raised(lambda: waiting.call(failing(10_000)))))
    thread.start()
    time.sleep(0.2)
    waiting.limit(0.1)
    thread.join(5)
    assert not thread.is_alive() and isinstance(ended[0], StoreAway)


def test_a_farewell_takes_a_moment_and_fails_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STOPPING", 0.2)
    started = time.monotonic()
    with patience.granted(lambda message: None), patience.best_effort():
        patience.patiently(failing(10_000))
    assert 0.2 <= time.monotonic() - started < 3


@pytest.mark.parametrize("value", ["soon", "", "-1", "nan"])
def test_patience_is_a_number_of_seconds(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(patience.VARIABLE, value)
    with pytest.raises(UserError, match=patience.VARIABLE):
        patience.granted_seconds()

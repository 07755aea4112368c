"""Real servers for tests, on loopback: started, waited for, and ended by their id whatever the test does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.tracking import server


class Server:
    """A server on a port of loopback that stays its own: started, killed and started again."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], env: Mapping[str, str], ready: str, log: Path
    ):
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._command, self._env, self._ready, self._log = command(self._port), dict(env), ready, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 120) -> None:
        """Returns once its page `ready` answers."""
        with self._log.open("ab") as lines:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=lines, stderr=lines, start_new_session=True
            )
        _wait_until_up(self.url + self._ready, self._process, self._log, seconds)

    def kill(self) -> None:
        """SIGKILL to it and its children, as when its machine goes away."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def end(self) -> None:
        if self._process:
            _end(self._process)


@contextmanager
def mlflow_server(backend: str, folder: Path, artifacts: Path | None = None) -> Iterator[str]:
    """URL of MLflow's server over the store `backend`, as `bench ui` starts it; its log goes to `folder`."""
    with mlflow_machine(backend, folder, artifacts) as machine:
        yield machine.url


@contextmanager
def mlflow_machine(backend: str, folder: Path, artifacts: Path | None = None) -> Iterator[Server]:
    """The same, to be killed and started again."""

    def command(port: int) -> list[str]:
        return server.command(port, artifacts)

    machine = Server(command, server.environment(backend), "/health", folder / "mlflow-server.log")
    with _running(machine):
        yield machine


@contextmanager
def served(
    command: Callable[[int], Sequence[str]],
    env: Mapping[str, str],
    ready: str,
    log: Path,
    seconds: float = 120,
) -> Iterator[str]:
    """URL of the server that `command(port)` starts, once its page `ready` answers."""
    machine = Server(command, env, ready, log)
    with _running(machine, seconds):
        yield machine.url


@contextmanager
def _running(machine: Server, seconds: float = 120) -> Iterator[None]:
    try:
        machine.start(seconds)
        yield
    finally:
        machine.end()


class Postgres:
    """A PostgreSQL server with its files in `folder`. It refuses to run as root: then the user `postgres` runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self._port = _free_port()
        self.url = f"postgresql://bench:secret@127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        password = self.folder / "password"
        password.write_text("secret")
        if self._who:
            for path in (self.folder, password):
                shutil.chown(path, self._who["user"], self._who["group"])
        made = ["initdb", "-D", self.folder / "data", "-U", "bench", "--pwfile", password]
        subprocess.run(
            [*made, "--auth", "scram-sha-256", "--no-sync"],
            check=True, capture_output=True, cwd=self.folder, **self._who,
        )  # fmt: skip

    def start(self, seconds: float = 60) -> None:
        """Returns once it takes connections."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": "off"}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as lines:
            self._process = subprocess.Popen(
                ["postgres", "-D", self.folder / "data", "-p", str(self._port), *settings],
                stdout=lines, stderr=lines, cwd=self.folder, start_new_session=True, **self._who,
            )  # fmt: skip
        deadline = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals) -> None:
        """SIGINT: its "fast" shutdown, clients are cut off. SIGQUIT: "immediate", it recovers as from a crash."""
        assert self._process
        self._process.send_signal(how)
        self._process.wait(20)

    def restart(self, away: float = 0.0) -> None:
        """As `pg_ctl restart -m immediate`, with `away` seconds in between."""
        self.stop(signal.SIGQUIT)
        time.sleep(away)
        self.start()

    def database(self, name: str) -> str:
        """Makes it. -> its URL."""
        self.execute(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def execute(self, command: str) -> None:
        psycopg = pytest.importorskip("psycopg")
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(command)

    def _answers(self) -> bool:
        psycopg = pytest.importorskip("psycopg")
        try:
            psycopg.connect(f"{self.url}/postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def has_postgres() -> bool:
    return shutil.which("initdb") is not None


@contextmanager
def postgres(*databases: str) -> Iterator[str]:
    """`postgresql://user:password@host:port` of a PostgreSQL server with these databases; all of it goes at the end."""
    with postgres_machine(*databases) as machine:
        yield machine.url


@contextmanager
def postgres_machine(*databases: str) -> Iterator[Postgres]:
    """The same, to be stopped and started again. Skips the test where PostgreSQL is not installed."""
    if not has_postgres():
        pytest.skip("PostgreSQL's initdb is not on PATH")
    folder = Path(
        tempfile.mkdtemp(prefix="bench-postgres-")
    )  # pytest's own folders are closed to other users
    try:
        machine = Postgres(folder)
        machine.make()
        machine.start()
        try:
            for name in databases:
                machine.database(name)
            yield machine
        finally:
            machine.stop(signal.SIGINT)
    finally:
        shutil.rmtree(folder)


@contextmanager
def losing_answers(upstream: str, lost: Callable[[str, str], bool]) -> Iterator[str]:
    """URL of a relay to the server `upstream` that delivers every request, and cuts off the answers to some.

    lost: asked with the method and path of each request once it is answered, whether the client never hears of it.
    """

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
            request = urllib.request.Request(upstream + self.path, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, content, kind = answer.status, answer.read(), answer.headers["Content-Type"]
            except urllib.error.HTTPError as error:
                status, content, kind = error.code, error.read(), error.headers["Content-Type"]
            if lost(self.command, self.path):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(status)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay

        def log_message(self, *args: object) -> None:
            return

    relay = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    thread = threading.Thread(target=relay.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{relay.server_port}"
    finally:
        relay.shutdown()
        relay.server_close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes], patience: float = 20) -> None:
    """The group of processes that `served` started, which has that process's id."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue

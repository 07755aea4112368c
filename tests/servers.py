"""Real servers for tests, on loopback: started, waited for, and ended by their id whatever the test does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.tracking import server


@contextmanager
def mlflow_server(backend: str, folder: Path, artifacts: Path | None = None) -> Iterator[str]:
    """URL of MLflow's server over the store `backend`, as `bench ui` starts it; its log goes to `folder`."""

    def command(port: int) -> list[str]:
        return server.command(backend, port, artifacts)

    with served(command, server.environment(), "/health", folder / "mlflow-server.log") as url:
        yield url


@contextmanager
def served(
    command: Callable[[int], Sequence[str]],
    env: Mapping[str, str],
    ready: str,
    log: Path,
    seconds: float = 120,
) -> Iterator[str]:
    """URL of the server that `command(port)` starts, once its page `ready` answers."""
    port = _free_port()
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command(port), env=dict(env), stdout=lines, stderr=lines, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url + ready, process, log, seconds)
        yield url
    finally:
        _end(process)


@contextmanager
def postgres(*databases: str) -> Iterator[str]:
    """`postgresql://user:password@host:port` of a PostgreSQL server with these databases; all of it goes at the end.

    Skips the test where PostgreSQL is not installed. It refuses to run as root: then the user `postgres` runs it.
    """
    if not shutil.which("initdb"):
        pytest.skip("PostgreSQL's initdb is not on PATH")
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(
        tempfile.mkdtemp(prefix="bench-postgres-")
    )  # pytest's own folders are closed to other users
    try:
        (folder / "password").write_text("secret")
        if who:
            for path in (folder, folder / "password"):
                shutil.chown(path, who["user"], who["group"])
        made = ["initdb", "-D", folder / "data", "-U", "bench", "--pwfile", folder / "password"]
        subprocess.run(
            [*made, "--auth", "scram-sha-256", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **who,
        )
        port = _free_port()
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as lines:
            process = subprocess.Popen(
                ["postgres", "-D", folder / "data", "-p", str(port), *settings],
                stdout=lines, stderr=lines, cwd=folder, start_new_session=True, **who,
            )  # fmt: skip
        url = f"postgresql://bench:secret@127.0.0.1:{port}"
        try:
            _create_databases(url, databases, process, folder / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # its "fast" shutdown: clients are cut off
            process.wait(20)
    finally:
        shutil.rmtree(folder)


def _create_databases(
    url: str, names: Sequence[str], process: subprocess.Popen[bytes], log: Path, seconds: float = 60
) -> None:
    psycopg = pytest.importorskip("psycopg")
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = psycopg.connect(f"{url}/postgres", autocommit=True)
            break
        except psycopg.OperationalError:
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE DATABASE {name}")
    connection.close()


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

"""Real servers for tests, on loopback: started, waited for, and ended by their id whatever the test does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
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

"""How MLflow's own server is started: for `bench ui`, and for tests that need a real one. Imports no MLflow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

START_SECONDS = 15
"""About how long the server takes to answer."""


def command(backend: str, port: int, artifacts: Path | None = None) -> list[str]:
    """The command line of a server on loopback over the store `backend`.

    One worker: the UI of one person needs no more, and each takes .4 GB. `artifacts`: the folder that the server keeps
    artifacts in for its clients; without it they lie where each experiment says.
    """
    line = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    line += ["--port", str(port), "--backend-store-uri", backend]
    return line + (["--artifacts-destination", str(artifacts)] if artifacts else [])


def environment() -> dict[str, str]:
    """This process's, with MLflow's job runners (14 processes, 35 s) and telemetry off unless the user says otherwise."""
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **os.environ,
    }

"""MLflow's own server: how it is started, and the addresses of pages in its UI. Imports no MLflow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

START_SECONDS = 15
"""About how long the server takes to answer."""

TRAINING = "workflowType=machine_learning"
"""In addresses: without it the UI opens an experiment on its pages for language models."""


def command(port: int, artifacts: Path | None = None) -> list[str]:
    """The command line of a server on loopback; `environment` tells it the store, whose address may hold a password.

    One worker: the UI of one person needs no more, and each takes .4 GB. Quiet, so that the addresses printed before stay
    in sight. `artifacts`: the folder that the server keeps artifacts in for its clients; without it they lie where each
    experiment says.
    """
    line = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    line += ["--port", str(port), "--uvicorn-opts", "--log-level warning"]
    return line + (["--artifacts-destination", str(artifacts)] if artifacts else [])


def environment(backend: str) -> dict[str, str]:
    """This process's, with the store `backend`: unlike a command line, other users of the machine cannot read it.

    MLflow's job runners (14 processes, 35 s) and telemetry are off unless the user says otherwise.
    """
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": backend,
    }


def runs_page(experiment_id: str, view: str = "") -> str:
    """Address of an experiment's runs within the UI; `view`: key of a saved one (`bench.tracking.views`)."""
    shown = f"&viewStateShareKey={view}" if view else ""
    return f"#/experiments/{experiment_id}/runs?{TRAINING}{shown}"


def artifact_page(experiment_id: str, mlflow_run_id: str, path: str) -> str:
    """Address of an artifact of a run within the UI."""
    return f"#/experiments/{experiment_id}/runs/{mlflow_run_id}/artifacts/{path}?{TRAINING}"

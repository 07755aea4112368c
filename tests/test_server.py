"""The same study against a real MLflow server on loopback, artifacts through its proxy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import cli, store
from tests.conftest import TINY_STUDY
from tests.servers import mlflow_server
from tests.test_cli import bench


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an MLflow server of this test's own, with its own database and artifacts."""
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(f"sqlite:///{folder / 'server.db'}", folder, folder / "artifacts") as url:
        yield url


def test_a_study_runs_against_a_server(server: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY_STUDY)
    few = ["--set", "seeds=1", "--set", "system_metrics=true", "--set", "checkpoints=best"]
    result = bench(tmp_path, "run", "tiny.yaml", "--store", server, "--workers", "2", *few)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not (tmp_path / "mlflow.db").exists(), "something went to the default store"
    runs = store.read_runs(server, "tiny")
    final = [run for run in runs if run["tags"]["purpose"] == "final"]
    assert len(final) == 6 and {run["status"] for run in final} == {"FINISHED"}
    assert all("system/cpu_utilization_percentage" in run["metrics"] for run in final)
    report = bench(tmp_path, "report", "tiny", "--store", server)
    assert report.returncode == 0 and (tmp_path / "reports/out/tiny/report.html").is_file()
    shown = bench(tmp_path, "ui", "--store", server)
    experiment = store.experiment_ids(server)["tiny"]
    assert shown.returncode == 0 and f"tiny  {server}/#/experiments/{experiment}/runs" in shown.stdout
    from mlflow import MlflowClient

    artifacts = MlflowClient(server).list_artifacts(final[0]["mlflow_run_id"], "checkpoints/last")
    assert {Path(a.path).name for a in artifacts} == {"model.safetensors", "optimizer.pt"}


def test_a_server_that_is_away_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY_STUDY)
    env_quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    os.environ.update(env_quick)
    try:
        result = bench(tmp_path, "run", "tiny.yaml", "--store", "http://127.0.0.1:9")
    finally:
        for key in env_quick:
            del os.environ[key]
    assert result.returncode == 2, result.stdout + result.stderr
    assert "store" in result.stderr and "Traceback" not in result.stderr


def test_bench_ui_serves_on_loopback_and_tells_where_each_study_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "experiment_ids", lambda uri: {"photos": "7", "Default": "0"})
    monkeypatch.setattr(os, "execve", lambda file, command, env: started.append(command))
    result = CliRunner().invoke(cli.app, ["ui", "--store", f"sqlite:///{tmp_path}/a.db", "--port", "5005"])
    (command,) = started
    assert command[command.index("--host") + 1] == "127.0.0.1" and f"sqlite:///{tmp_path}/a.db" in command
    assert "photos  http://127.0.0.1:5005/#/experiments/7/runs?workflowType=machine_learning" in result.stdout
    assert "experiments/0" not in result.stdout

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import report_samples as samples


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> samples.Store:
    """Built once with MLflow's own client: creating the database takes seconds."""
    folder = tmp_path_factory.mktemp("store with spaces")
    study = samples.document()
    runs = samples.untidy(study)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    samples.fill(uri, "sample", study, runs, folder / "mlruns" / "1")
    return samples.Store(uri, "sample", study, runs)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"

"""Where searches find their data and leave their trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.storage.places import Places
from bench.tracking import experiment
from bench.tracking.plain import Tracking


@pytest.fixture
def places(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(tmp_path, tmp_path_factory.getbasetemp() / "tuning-cache")


@pytest.fixture
def tracking(tmp_path: Path) -> Tracking:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return Tracking(uri, experiment.open_store(uri, "s"), False, "none", str(tmp_path / "optuna.journal"))

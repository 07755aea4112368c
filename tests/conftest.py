"""Shared fixtures: a tiny model, a tiny task, a tiny study that trains in seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tests.support import mlflow_tables

if TYPE_CHECKING:  # which imports MLflow
    from tests.support.outages import Machines
    from tests.support.servers import Postgres

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
LONG = Path(__file__).with_name("long.txt")
REAL_DATA = Path(os.environ.get("BENCH_TEST_DATA") or ROOT.parent / "shared" / "data")
"""Real photographs and ImageNet weights, which are not part of the product."""

TINY_STUDY = """
name: tiny
datasets:
  - name: synthetic/fine
    options: {pool_per_class: 12, test_per_class: 5}
    similarity: similar
    n_per_class: [5, 10]
  - name: synthetic/glyph
    options: {pool_per_class: 12, test_per_class: 5}
    similarity: dissimilar
    n_per_class: [5]
backbones:
  - name: test_resnet
    source: {name: synthetic/source, options: {pool_per_class: 8, test_per_class: 2}}
    source_train: {epochs: 1}
strategies:
  - linear_probe
  - full + head_x10
hyperparameters:
  linear_probe: {lr: 0.01}
  full: {lr: 0.001}
seeds: 2
train: {image_size: 32, precision: fp32, optimizer: adamw, batch_size: 16, epochs: 2}
matrix: {small_at_most: 5}
system_metrics: false
"""


def pytest_runtest_setup() -> None:
    mlflow_tables.copy_from_now_on()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """`REAL_DATA`; skips the test where it is absent. The only way to what lies outside this repository."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real images and weights in {REAL_DATA}: BENCH_TEST_DATA names their folder")
    return REAL_DATA


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures of transferability, which take much of the time of small studies, are neither taken nor missed."""
    from bench.execution.pending_measures import Measures

    monkeypatch.setattr(Measures, "jobs", lambda *_: [])
    monkeypatch.setattr(Measures, "settled", True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One for all tests, which make databases of their own in it. Skips where PostgreSQL is not installed."""
    from tests.support.servers import postgres_machine

    with postgres_machine() as machine:
        yield machine


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """One MLflow server for all tests, over PostgreSQL where that is installed."""
    from tests.support.outages import Machines
    from tests.support.servers import has_postgres

    postgres = request.getfixturevalue("postgres_server") if has_postgres() else None
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("machines"), stack, postgres)


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """By the number of workers, the folder in which the tiny study has run to its end; beside it the cache."""
    from tests.support.tiny_study import call, study_in

    @cache
    def finished(workers: int) -> Path:
        folder = study_in(tmp_path_factory.mktemp("undisturbed") / "study")
        done = call(folder, workers)
        assert done.returncode == 0, done.stderr
        return folder

    return finished


@pytest.fixture(scope="session")
def tuned_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tuned study has run to its end; to be copied before anything is changed in it."""
    from tests.support.commands import bench
    from tests.support.tuned_study import STUDY

    folder = tmp_path_factory.mktemp("tuned")
    (folder / "tuned.yaml").write_text(STUDY)
    result = bench(folder, "run", "tuned.yaml", "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture
def tiny_study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_STUDY)
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests of tests/long.txt, and refuses lines there that name none, where all tests are collected."""
    wanted = {line for line in LONG.read_text().splitlines() if line and not line.startswith("#")}
    found = {item.nodeid: item for item in items if item.nodeid in wanted}
    for item in found.values():
        item.add_marker(pytest.mark.long)
    if config.args == config.getini("testpaths") and (unknown := wanted - found.keys()):
        raise pytest.UsageError(f"tests/long.txt names no test in: {', '.join(sorted(unknown))}")

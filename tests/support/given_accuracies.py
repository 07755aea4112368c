"""Seeds until decided, driven to the end without training: runs are given their accuracies.

The store, the plan, the driver's loop and the looks are real.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bench.core.records.looks import LookRecord
from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.core.spec import RunSpec
from bench.execution import driver, preparation, worker
from bench.execution.executors.inline import InlineExecutor
from bench.execution.failures import Failures
from bench.execution.pending_measures import Measures
from bench.execution.preparation import Remarks
from bench.planning import load, plan
from bench.planning.plan import Plan
from bench.storage.places import Places
from bench.tracking import store
from bench.tracking.plain import Tracking
from bench.tracking.runs import Tracker
from bench.tracking.store import outcome
from tests.support.displays import Says

STUDY = """
name: raced
datasets:
  - {name: synthetic/fine, options: {pool_per_class: 80, test_per_class: 2}, similarity: similar, n_per_class: [5, 60]}
backbones: [{name: test_resnet, random: true}]
strategies: [full, last_stages, norm_only]
matrix: {rule: {similar-small: full, similar-large: full}}
seeds: {until: decided, at_most: 5, looks: [3, 4, 5]}
train: {image_size: 32, precision: fp32, batch_size: 16, epochs: 1}
system_metrics: false
"""
EFFECTS = {  # small: open to the end, one dropped early. large: decided at once
    5: {"full": 0.0, "last_stages": 0.008, "norm_only": -0.4},
    60: {"full": 0.0, "last_stages": 0.35, "norm_only": 0.0},
}


def give_accuracies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither networks nor images: accuracies by strategy and seed."""
    monkeypatch.setattr(Measures, "jobs", lambda *_: [])
    monkeypatch.setattr(Measures, "settled", True)
    monkeypatch.setattr(preparation, "ready", lambda *_: None)
    monkeypatch.setattr(preparation, "prepare", lambda *_: (Remarks({}, {}), Failures()))
    monkeypatch.setattr("bench.execution.baselines.Baselines.jobs", lambda *_: [])
    monkeypatch.setattr(worker, "run", run)


def run(emit: Any, spec: RunSpec, row: PlannedRow, places: Places, tracking: Tracking) -> Result:
    log = Tracker(tracking.uri, tracking.experiment_id).start(row, spec, False)
    noise = random.Random(f"{row.strategy} {row.seed} {row.n_per_class}").gauss(
        0, 0.015 if row.n_per_class == 5 else 0.005
    )
    accuracy = round(0.5 + EFFECTS[row.n_per_class][row.strategy] + noise, 3)
    metrics = {Metric.TEST_ACCURACY: accuracy, Metric.TOTAL_SECONDS: 2.0, Metric.TRAIN_SECONDS: 1.0}
    log.finish(Status.FINISHED, metrics)
    return Result(Status.FINISHED, None, metrics)


def made(folder: Path, text: str = STUDY) -> Plan:
    path = folder / "raced.yaml"
    path.write_text(text)
    return plan.make(load.load(path), path, folder / "cache")


def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def call(folder: Path, text: str = STUDY, to: str = "", **how: bool) -> list[str]:
    """One `bench run`. -> what it said"""
    display = Says()
    driver.run_study(made(folder, text), to or uri(folder), InlineExecutor, display, None, **how)  # type: ignore[arg-type]
    return display.said


def done(folder: Path, to: str = "") -> list[tuple[int, str, int]]:
    """(images per class, strategy, seed) of each run that was made, in no order; twice if it was made twice."""
    runs = store.read_runs(to or uri(folder), "raced", tagged={Tag.PURPOSE: [Purpose.FINAL]})
    return sorted((int(r.tags["n_per_class"]), r.tags["strategy"], int(r.tags["seed"])) for r in runs)


def looks(folder: Path, to: str = "") -> list[LookRecord]:
    return list(outcome.ledger(store.read_runs(to or uri(folder), "raced")).looks)


def plainly(found: list[LookRecord]) -> list[tuple[Any, ...]]:
    """All but the date."""
    return sorted((r.cell, r.seeds, round(r.level, 9), r.verdict, r.runs) for r in found)

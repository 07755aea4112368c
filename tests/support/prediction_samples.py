"""Predictions made by hand, for runs that were never trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.records.predictions import Predictions
from bench.core.records.runs import RunRecord
from bench.core.schema import ARTIFACT_PREDICTIONS, Metric, Tag

IMAGES, CLASSES = 120, 4


def predictions(accuracy: float, seed: int, images: int = IMAGES, test_set: str = "a") -> Predictions:
    """The label with this chance, else the next class; images that are hard are hard for all."""
    label = np.arange(images) % CLASSES
    hard = np.random.default_rng(0).standard_normal(images)
    own = np.random.default_rng(seed + 1).standard_normal(images)
    order = np.argsort(np.argsort(hard + own))
    predicted = np.where(order < round(accuracy * images), label, (label + 1) % CLASSES)
    logs = np.log(np.full(images, 0.9))
    of_label = np.where(predicted == label, logs, np.log(0.05))
    return Predictions.of(test_set, CLASSES, label, predicted, logs, of_label)


def keep(run: RunRecord, found: Predictions, folder: Path) -> RunRecord:
    """The run as if it had kept them, below `folder`."""
    own = folder / run.mlflow_run_id
    own.mkdir(parents=True, exist_ok=True)
    (own / ARTIFACT_PREDICTIONS).write_bytes(found.to_bytes())
    tags = {**run.tags, Tag.TEST_SET: found.test_set}
    return replace(run, artifact_uri=str(own), tags=tags)


def keep_all(runs: list[RunRecord], folder: Path) -> list[RunRecord]:
    """Each finished run with predictions of its accuracy, and that accuracy rounded to their images."""
    kept = []
    for i, run in enumerate(runs):
        accuracy = run.metrics.get(Metric.TEST_ACCURACY)
        if accuracy is None or not run.has_result:
            kept.append(run)
            continue
        found = predictions(accuracy, seed=i, test_set=run.name.split("-")[0])
        metrics: dict[str, Any] = {**run.metrics, Metric.TEST_ACCURACY: float(found.right.mean())}
        kept.append(keep(replace(run, metrics=metrics), found, folder))
    return kept

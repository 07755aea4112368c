"""The study that is profiled: one cell, five strategies."""

from __future__ import annotations

from pathlib import Path

from bench.planning import load
from bench.planning import plan as planning
from bench.planning.plan import Plan

ONE_CELL = ["datasets=[{name: sklearn/digits, similarity: dissimilar, n_per_class: [10]}]", "seeds=1"]
STRATEGIES = [
    "strategies=[{use: linear_probe}, {use: last_stages}, {use: full}, {use: logreg}, {use: full + mixup}]"
]


def planned(folder: Path, *sets: str) -> Plan:
    path = folder / "tiny.yaml"
    text = [*ONE_CELL, *STRATEGIES, "hyperparameters={}", "train.epochs=4", *sets]
    return planning.make(load.load(path, text), path, folder / ".bench-cache")

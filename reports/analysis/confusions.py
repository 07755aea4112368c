"""Classes that are hard, and what they are taken for, from the predictions of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.records.predictions import Predictions
from reports.analysis.rows import Row

HARDEST = 3
"""Classes of a cell and dataset that are told."""

Read = Sequence[tuple[Row, Predictions]]


@dataclass(frozen=True)
class HardClass:
    """A class of a dataset, over the runs of a cell. Accuracies are fractions, None where the strategy has no run.

    Attributes:
        images: Its test images.
        taken_for: The class that `best` predicts for them most often beside the right one, and how often, a fraction;
            None where it makes no mistake.
    """

    cell: str
    dataset: str
    label: int
    images: int
    rule: float | None
    best: float
    taken_for: tuple[int, float] | None


def of(cell: str, strategy: str, found: Read) -> list[tuple[Row, Predictions]]:
    """Those of one strategy in one cell."""
    return [(row, one) for row, one in found if (row["cell"], row["strategy"]) == (cell, strategy)]


def hardest(
    cell: str, rule: str | None, best: str | None, found: Read, most: int = HARDEST
) -> list[HardClass]:
    """The classes of each dataset that the two strategies have wrong most often, on average of both."""
    if best is None:
        return []
    own = of(cell, best, found)
    of_rule = _confusions(of(cell, rule, found)) if rule else {}
    runs = Counter(row["dataset"] for row, _ in own)
    return [
        hard
        for dataset, table in _confusions(own).items()
        for hard in _hardest(cell, dataset, table, of_rule.get(dataset), runs[dataset], most)
    ]


def _hardest(
    cell: str, dataset: str, table: np.ndarray, of_rule: np.ndarray | None, runs: int, most: int
) -> list[HardClass]:
    share, images = _shares(table), table.sum(axis=1)
    rule = None if of_rule is None else _shares(of_rule)
    accuracies = {  # of each class that there are images of; two tables need not be equally wide
        k: (None if rule is None else float(rule[k, k]), float(share[k, k]))
        for k in np.flatnonzero(images).tolist()
    }
    hard = []
    for k in sorted(accuracies, key=lambda k: sum(one or 0.0 for one in accuracies[k]))[:most]:
        wrong = np.where(np.arange(len(share)) == k, 0.0, share[k])
        worst = int(wrong.argmax())
        taken = (worst, float(wrong[worst])) if wrong[worst] > 0 else None
        hard.append(HardClass(cell, dataset, k, int(images[k]) // runs, *accuracies[k], taken))
    return hard


def _shares(table: np.ndarray) -> np.ndarray:
    """Rows that sum to 1, or to 0 where a class has no image."""
    shares: np.ndarray = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return shares


def _confusions(found: Iterable[tuple[Row, Predictions]]) -> dict[str, np.ndarray]:
    """By dataset [K, K]: images of class k that were predicted as l, summed over runs."""
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for row, one in found:
        pairs.setdefault(row["dataset"], []).append((one.label.astype(int), one.predicted.astype(int)))
    tables = {}
    for dataset, both in pairs.items():
        label, predicted = (np.concatenate(arrays) for arrays in zip(*both, strict=True))
        k = 1 + int(max(label.max(), predicted.max()))
        tables[dataset] = np.bincount(label * k + predicted, minlength=k * k).reshape(k, k)
    return tables

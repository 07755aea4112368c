"""Accuracy over images per class: a panel per dataset, a curve per strategy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from reports.analysis.rows import Row, accuracy_of, finished
from reports.analysis.stats import Mean, mean_of


@dataclass(frozen=True)
class Curve:
    """Accuracy of one strategy in one panel, over images per class."""

    strategy: str
    n_per_class: list[int]
    means: list[Mean]


@dataclass(frozen=True)
class Panel:
    dataset: str
    backbone: str | None  # None: the study has only one
    curves: list[Curve]


def panels(rows: Sequence[Row]) -> list[Panel]:
    """One panel per dataset and backbone that have results."""
    several = len({row["backbone"] for row in rows}) > 1
    groups: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in finished(rows):
        groups[row["dataset"], row["backbone"] if several else None].append(row)
    return [Panel(dataset, backbone, _curves(found)) for (dataset, backbone), found in groups.items()]


def _curves(rows: Sequence[Row]) -> list[Curve]:
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        values[row["strategy"]][row["n_per_class"]].append(accuracy_of(row))
    return [
        Curve(strategy, sorted(by_n), [mean_of(by_n[n]) for n in sorted(by_n)])
        for strategy, by_n in values.items()
    ]


Size = tuple[str, int]
"""A dataset and its images per class."""


def by_size(rows: Sequence[Row]) -> dict[Size, dict[str, Mean]]:
    """Mean test accuracy over seeds, by dataset and images per class, then by strategy. For one backbone."""
    found: dict[Size, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in finished(rows):
        found[row["dataset"], row["n_per_class"]][row["strategy"]].append(accuracy_of(row))
    return {size: {s: mean_of(values) for s, values in by.items()} for size, by in found.items()}

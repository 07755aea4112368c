"""The effect of one hyperparameter on accuracy, time and memory, from strategies that differ in it alone.

A *series* is a composition of which the study has at least three strategies, with a number in some hyperparameter that
is another in each of them. An *effect* is of a hyperparameter with all its series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.records.study import StudyRecord
from bench.core.schema import Metric
from bench.core.spec import StrategySpec
from reports.analysis.costs import mean_metric
from reports.analysis.ranking import Ranked, rank
from reports.analysis.rows import Row, finished
from reports.analysis.stats import Mean, mean_of
from reports.analysis.units import accuracies, units

LEAST = 3
"""Two strategies are a comparison, not a series."""

NEUTRAL = ("uniform", "none")  # parts that change nothing, and are not named

Hyperparameter = tuple[str, str]


@dataclass(frozen=True)
class Series:
    """strategies: label by the hyperparameter's value, lowest first. others: hyperparameters that differ between them
    besides.
    """

    composition: str
    strategies: dict[float, str]
    others: list[str]


@dataclass(frozen=True)
class Effect:
    part: str
    hyperparameter: str
    series: list[Series]

    @property
    def name(self) -> str:
        return f"{self.part}.{self.hyperparameter}"


@dataclass(frozen=True)
class Point:
    """Means of one strategy in one cell. accuracy: over pairs of dataset and seed; seconds, bytes: over finished runs."""

    value: float
    accuracy: Mean
    seconds: float | None
    memory: float | None


def effect(document: StudyRecord) -> Effect | None:
    """The hyperparameter with the most strategies in its series;

    None where there is none. A hyperparameter that is searched has no value.
    """
    groups: dict[str, list[StrategySpec]] = defaultdict(list)
    for strategy in document.strategies:
        groups[_composition(strategy)].append(strategy)
    found: dict[Hyperparameter, list[Series]] = defaultdict(list)
    for composition, strategies in groups.items():
        if len(strategies) >= LEAST and (one := _series(composition, strategies, document)):
            found[one[0]].append(one[1])
    effects = [Effect(part, hyperparameter, series) for (part, hyperparameter), series in found.items()]
    return max(effects, key=lambda e: sum(len(s.strategies) for s in e.series), default=None)


def along(series: Series, cell: str, rows: Sequence[Row]) -> list[Point]:
    """One per strategy of the series that has results in the cell."""
    made = []
    for value, label in series.strategies.items():
        own = [row for row in finished(rows) if (row["cell"], row["strategy"]) == (cell, label)]
        if own:
            accuracy = mean_of(accuracies(units(own), label))
            spent = (mean_metric(own, Metric.TRAIN_SECONDS), mean_metric(own, Metric.PEAK_MEMORY))
            made.append(Point(value, accuracy, *spent))
    return made


def against_first(series: Series, rows: Sequence[Row]) -> list[tuple[float, Ranked]]:
    """Each strategy of the series minus the one at the lowest value, over all conditions of the study."""
    first = next(iter(series.strategies.values()))
    own = [row for row in rows if row["strategy"] in series.strategies.values()]
    ranked = {one.strategy: one for one in rank(first, own)}
    return [(value, ranked[label]) for value, label in series.strategies.items() if label in ranked]


def _composition(strategy: StrategySpec) -> str:
    return " + ".join(part.name for part in strategy.parts if part.name not in NEUTRAL)


def _series(
    composition: str, strategies: Sequence[StrategySpec], document: StudyRecord
) -> tuple[Hyperparameter, Series] | None:
    """The one hyperparameter that has another number in each strategy, and its series;

    None where it is none or several.
    """
    values: dict[Hyperparameter, list[Any]] = defaultdict(list)
    for strategy in strategies:
        for part in strategy.parts:
            for hyperparameter, value in part.hyperparameters.items():
                values[part.name, hyperparameter].append(value)
    differing = {key: found for key, found in values.items() if len(set(map(str, found))) > 1}
    spaces = document.tune.spaces if document.tune else {}
    searched = {name for strategy in strategies for name in spaces.get(strategy.label, {})}
    axes = [key for key, found in differing.items() if _distinct(found, len(strategies))]
    if len(axes) != 1 or ".".join(axes[0]) in searched:
        return None
    numbers = differing[axes[0]]
    labels = dict(sorted(zip(numbers, (s.label for s in strategies), strict=True)))
    return axes[0], Series(composition, labels, [".".join(key) for key in differing if key != axes[0]])


def _distinct(values: Sequence[Any], n: int) -> bool:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return len(numbers) == len(set(numbers)) == n

"""With which hyperparameters a strategy did well nearby, and how far they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, floor, log, log10
from typing import Any

from bench.core.records.study import StudyRecord

DIGITS = 2
"""Of a rate: more would pretend to more than a search of five steps tells."""


@dataclass(frozen=True)
class Setting:
    """A hyperparameter, as "full.lr".

    Attributes:
        value: Of learning rates and other positive fractions the weighted geometric mean; of whole numbers, words and
            switches the one with the most weight.
        low, high: The least and the largest among the datasets; None where it is no number.
        datasets: How many it rests on.
        searched: Whether some search chose it; else the studies' authors did.
    """

    name: str
    value: Any
    low: float | None
    high: float | None
    datasets: int
    searched: bool


@dataclass(frozen=True)
class Used:
    """What a strategy was run with in a condition: all of its hyperparameters, and the names of those searched for."""

    dataset: str
    values: Mapping[str, Any]
    searched: frozenset[str] = frozenset()


def used_in(document: StudyRecord, dataset: str, chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, Used]:
    """By strategy, the study's own hyperparameters, and in their place what a search chose. chosen: by strategy."""
    found = {}
    for strategy in document.strategies:
        own = {f"{part.name}.{key}": v for part in strategy.parts for key, v in part.hyperparameters.items()}
        values = chosen.get(strategy.label, {})
        found[strategy.label] = Used(dataset, own | dict(values), frozenset(values))
    return found


def settings(near: Sequence[tuple[float, Used]]) -> list[Setting]:
    """Of each hyperparameter, those searched for first. near: conditions with their weights."""
    found: dict[str, list[tuple[float, Any, str]]] = defaultdict(list)
    for weight, used in near:
        for name, value in used.values.items():
            found[name].append((weight, value, used.dataset))
    searched = {name for _, used in near for name in used.searched}
    made = [_setting(name, values, name in searched) for name, values in found.items()]
    return sorted(made, key=lambda one: not one.searched)


def _setting(name: str, near: Sequence[tuple[float, Any, str]], searched: bool) -> Setting:
    datasets = len({dataset for _, _, dataset in near})
    values = [value for _, value, _ in near]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return Setting(name, _heaviest(near), None, None, datasets, searched)
    low, high = float(min(values)), float(max(values))
    if low <= 0 or all(isinstance(v, int) for v in values) or low == high:
        return Setting(name, _heaviest(near), low, high, datasets, searched)
    total = sum(weight for weight, _, _ in near)
    share = [weight / total if total else 1 / len(near) for weight, _, _ in near]
    value = exp(sum(part * log(v) for part, v in zip(share, values, strict=True)))
    return Setting(name, round(value, DIGITS - 1 - floor(log10(value))), low, high, datasets, searched)


def _heaviest(near: Sequence[tuple[float, Any, str]]) -> Any:
    weights: dict[str, float] = defaultdict(float)
    for weight, value, _ in near:
        weights[repr(value)] += weight
    most = max(weights, key=lambda text: weights[text])
    return next(value for _, value, _ in near if repr(value) == most)

"""How forgiving a strategy is of its learning rate: what is lost where all of its rates are off by the same factor.

From the trials of searches, which is validation accuracy. Searches differ in level, and not every search has tried every
factor, so factors are compared within searches: accuracy = level of the search + effect of the factor, by least squares
(a two-way layout without interaction). A single search is too noisy to say anything; tens of them are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, log10

import numpy as np

from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Purpose, Status, Tag

TOLERANCE = 0.01
"""Of accuracy, within which a rate is as good as the best one."""

STEP = 0.5
"""Decades. Factors are rounded to multiples of it: the design's own steps."""

LEAST_SEARCHES = 3


@dataclass(frozen=True)
class Tried:
    """A trial: factor is log10 of its rates by those of trial 0; accuracy a fraction, 0 where it diverged."""

    search: str
    strategy: str
    factor: float
    accuracy: float


@dataclass(frozen=True)
class Forgiving:
    """How a strategy fares off its rates.

    Attributes:
        behind: Factor, in decades from the default rates -> accuracy lost against the best factor, a fraction.
        low, high: The ends of the range around the best factor within `TOLERANCE`, in decades.
        open_low, open_high: Whether that range reaches the lowest, the highest factor tried, so that it may go on.
    """

    strategy: str
    searches: int
    behind: Mapping[float, float]
    low: float
    high: float
    open_low: bool
    open_high: bool

    def beside(self, way: int) -> float | None:
        """Lost, a fraction, one step of `STEP` decades below (way -1) or above the best factor; None: not tried."""
        best = min(self.behind, key=lambda factor: self.behind[factor])
        return next((lost for f, lost in self.behind.items() if isclose(f, best + way * STEP)), None)

    @property
    def width(self) -> float:
        """In decades; at least, where an end is open."""
        return self.high - self.low


def tried(runs: Iterable[RunRecord]) -> list[Tried]:
    """The trials in which all rates of a strategy were moved by one factor. The runs must have their parameters."""
    by_search: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.purpose == Purpose.TRIAL and run.status in (Status.FINISHED, Status.DIVERGED):
            by_search[run.tags[Tag.PARENT]].append(run)
    return [one for search, own in by_search.items() for one in _of_search(search, own)]


def _of_search(search: str, trials: Sequence[RunRecord]) -> Iterable[Tried]:
    first = next((run for run in trials if run.tags.get(Tag.TRIAL) == "0"), None)
    if first is None:
        return
    before = _numbers(first)
    for run in trials:
        moved = {key: value / before[key] for key, value in _numbers(run).items() if before.get(key)}
        rates = {key: ratio for key, ratio in moved.items() if key.endswith("lr")}
        others = [ratio for key, ratio in moved.items() if key not in rates]
        factors = list(rates.values())
        together = factors and all(isclose(ratio, factors[0], rel_tol=0.01) for ratio in factors)
        accuracy = 0.0 if run.status == Status.DIVERGED else run.metrics.get(Metric.VAL_ACCURACY)
        if together and factors[0] > 0 and accuracy is not None and all(isclose(r, 1.0) for r in others):
            yield Tried(search, run.tags[Tag.STRATEGY], log10(factors[0]), accuracy)


def _numbers(run: RunRecord) -> dict[str, float]:
    """Its hyperparameters that are numbers."""
    found = {}
    for key, text in run.params.items():
        if key.startswith("hyperparameter."):
            try:
                found[key] = float(text)
            except ValueError:
                continue
    return found


def forgiving(trials: Iterable[Tried], tolerance: float = TOLERANCE) -> list[Forgiving]:
    """By strategy, the most forgiving first; without those of fewer than `LEAST_SEARCHES` searches."""
    by_strategy: dict[str, list[Tried]] = defaultdict(list)
    for one in trials:
        by_strategy[one.strategy].append(one)
    found = [_forgiving(strategy, own, tolerance) for strategy, own in by_strategy.items()]
    return sorted((one for one in found if one), key=lambda one: -one.width)


def _forgiving(strategy: str, trials: Sequence[Tried], tolerance: float) -> Forgiving | None:
    searches = sorted({one.search for one in trials})
    counts: dict[float, set[str]] = defaultdict(set)
    for one in trials:
        counts[_place(one)].add(one.search)
    factors = sorted(factor for factor, own in counts.items() if 2 * len(own) >= len(searches))
    if len(searches) < LEAST_SEARCHES or len(factors) < 2:
        return None
    kept = [one for one in trials if _place(one) in factors]
    effects = _effects(kept, searches, factors)
    behind = {factor: float(max(effects) - effect) for factor, effect in zip(factors, effects, strict=True)}
    low, high = (_end(behind, way, tolerance) for way in (-1, 1))
    return Forgiving(
        strategy, len(searches), behind, low, high, isclose(low, factors[0]), isclose(high, factors[-1])
    )


def _place(one: Tried) -> float:
    return round(one.factor / STEP) * STEP


def _effects(trials: Sequence[Tried], searches: Sequence[str], factors: Sequence[float]) -> np.ndarray:
    """[F] of the factors, up to a constant."""
    design = np.zeros((len(trials), len(searches) + len(factors)))
    for i, one in enumerate(trials):
        design[i, searches.index(one.search)] = 1
        design[i, len(searches) + factors.index(_place(one))] = 1
    solution = np.linalg.lstsq(design, np.array([one.accuracy for one in trials]), rcond=None)[0]
    return np.asarray(solution[len(searches) :])


def _end(behind: Mapping[float, float], way: int, tolerance: float) -> float:
    """From the best factor downwards (way -1) or upwards, as far as the loss, linear between factors, is tolerable."""
    order = sorted(behind, key=lambda factor: way * factor)
    best = min(behind, key=lambda factor: behind[factor])
    last = best
    for factor in order[order.index(best) + 1 :]:
        if behind[factor] > tolerance:
            share = (tolerance - behind[last]) / (behind[factor] - behind[last])
            return last + share * (factor - last)
        last = factor
    return last

"""Which strategy for a dataset that no study has seen? A kernel-weighted mean over the conditions that lie near it.

What is averaged is the paired difference of each strategy to one reference, full fine-tuning: the level of accuracy,
which differs much more between datasets than between strategies, cancels. The weights are those of Nadaraya and Watson
(1964) with a Gaussian kernel of width 1, at distances in standard deviations. Nothing is fitted or tuned, because a
store has few datasets; how far that carries is measured in `reports.analysis.leave_one_out`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from bench.core.schema import Measure
from reports.analysis.distance import Group, Neighbour, known, weigh
from reports.analysis.evidence import Condition, Place
from reports.analysis.log_odds import accuracy
from reports.analysis.settings import Setting, settings

COVERED = 0.5
"""A strategy is ranked if it has results in conditions that hold at least this share of the weight."""

LEAST_DATASETS = 2
"""One dataset cannot tell what carries over to another: on the synthetic datasets such advice lost up to 36 points."""


@dataclass(frozen=True)
class Advised:
    """A strategy as the neighbours see it. Gains over the reference and accuracies are fractions.

    low, high: the least and the largest gain among the datasets, weighted within each; a spread, not an interval.
    accuracy: expected test accuracy, and odds, its log odds; seconds: of training and preparation; times: as a multiple of
    the reference's. settings: with which hyperparameters.
    """

    strategy: str
    gain: float
    low: float
    high: float
    conditions: int
    datasets: int
    runs: int
    accuracy: float
    odds: float
    seconds: float | None
    times: float | None
    settings: list[Setting] = field(default_factory=list)


@dataclass(frozen=True)
class Advice:
    """The strategies, best first, and what the order rests on.

    used: groups that distances could be taken in. by_probe: whether accuracies are expected relative to the target's
    own probe; otherwise they are simply the neighbours'.
    """

    reference: str
    ranked: list[Advised]
    neighbours: list[Neighbour]
    used: list[Group]
    by_probe: bool

    @property
    def nearest(self) -> float:
        return self.neighbours[0].distance

    def of(self, strategy: str | None) -> Advised | None:
        return next((r for r in self.ranked if r.strategy == strategy), None)

    def cheapest_tie(self, margin: float) -> Advised | None:
        """The one that takes least time of those whose gain is within the margin of the first; None where it is the first.

        Gains nearby are estimates: this is a choice by what is seen, not a tie that was shown.
        """
        near = [r for r in self.ranked if r.seconds is not None and r.gain >= self.ranked[0].gain - margin]
        cheapest = min(near, key=lambda r: r.seconds or 0.0, default=None)
        return None if cheapest is self.ranked[0] else cheapest


def advise(
    place: Place, evidence: Sequence[Condition], reference: str, by_probe: bool = True
) -> Advice | None:
    """None with fewer than two datasets, or no strategy near enough. Every condition must have the reference.

    by_probe: expect accuracies relative to the target's own probe, where there are probes to compare with.
    """
    if len({c.dataset for c in evidence}) < LEAST_DATASETS:
        return None
    neighbours = weigh(place, evidence)
    gains = {id(n.condition): n.condition.gains(reference) for n in neighbours}
    by_probe = by_probe and _probed(place, neighbours)
    ranked = [
        _ranked(strategy, reference, place, near, by_probe)
        for strategy in dict.fromkeys(s for found in gains.values() for s in found)
        for near in [
            [(n, gains[id(n.condition)][strategy]) for n in neighbours if strategy in gains[id(n.condition)]]
        ]
        if sum(n.weight for n, _ in near) >= COVERED
    ]
    used = [group for group in Group if known(place, group)]
    return (
        Advice(reference, sorted(ranked, key=lambda r: -r.gain), neighbours, used, by_probe)
        if ranked
        else None
    )


def _ranked(
    strategy: str, reference: str, place: Place, near: Sequence[tuple[Neighbour, float]], by_probe: bool
) -> Advised:
    datasets: dict[str, list[tuple[float, float]]] = {}
    for neighbour, gain in near:
        datasets.setdefault(neighbour.condition.dataset, []).append((neighbour.weight, gain))
    by_dataset = [_mean(values) for values in datasets.values()]
    odds = _expected(strategy, place, [n for n, _ in near], by_probe)
    seconds = [(n.weight, n.condition.seconds[strategy]) for n, _ in near if strategy in n.condition.seconds]
    times = [
        (n.weight, n.condition.seconds[strategy] / n.condition.seconds[reference])
        for n, _ in near
        if strategy in n.condition.seconds and n.condition.seconds.get(reference)
    ]
    return Advised(
        strategy,
        _mean([(n.weight, gain) for n, gain in near]),
        min(by_dataset),
        max(by_dataset),
        len(near),
        len(datasets),
        sum(len(n.condition.accuracies[strategy]) for n, _ in near),
        accuracy(odds),
        odds,
        _mean(seconds) if seconds else None,
        _mean(times) if times else None,
        settings([(n.weight, n.condition.used[strategy]) for n, _ in near if strategy in n.condition.used]),
    )


def _expected(strategy: str, place: Place, near: Sequence[Neighbour], by_probe: bool) -> float:
    """Log odds of the neighbours' accuracy; given probes, of the target's probe plus what the strategy had over theirs.

    On this scale a gain cannot lead out of [0, 1]: what is won over a probe of .6 is less over one of .95.
    """
    if by_probe:
        over = [
            (n.weight, n.condition.odds(strategy) - n.condition.place.probe_odds)
            for n in near
            if Measure.PROBE in n.condition.place.measures
        ]
        if over:
            return place.probe_odds + _mean(over)
    return _mean([(n.weight, n.condition.odds(strategy)) for n in near])


def _probed(place: Place, near: Sequence[Neighbour]) -> bool:
    known = sum(n.weight for n in near if Measure.PROBE in n.condition.place.measures)
    return Measure.PROBE in place.measures and known >= COVERED


def _mean(weighted: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for weight, _ in weighted)
    if not total:  # all so far that their weights vanish
        return fmean(value for _, value in weighted)
    return sum(weight * value for weight, value in weighted) / total

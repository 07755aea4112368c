"""Which strategy for a dataset that no study has seen? A kernel-weighted mean over the conditions that lie near it.

What is averaged is the paired difference of each strategy to one reference, full fine-tuning: the level of accuracy,
which differs much more between datasets than between strategies, cancels. The weights are those of Nadaraya and Watson
(1964) with a Gaussian kernel of width 1, at distances in standard deviations. Nothing is fitted or tuned, because a
store has few datasets; how far that carries is measured in `reports.left_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, pstdev

from bench.core.schema import Measure
from reports.evidence import Condition, Place
from reports.scale import accuracy

UNKNOWN = 2.0
"""Squared distance that stands for an unknown one: the expected one of two standardised values drawn at random.

Another backbone counts as much.
"""

COVERED = 0.5
"""A strategy is ranked if it has results in conditions that hold at least this share of the weight."""

LEAST_DATASETS = 2
"""One dataset cannot tell what carries over to another: on the synthetic datasets such advice lost up to 36 points."""

FEATURES = (Measure.KNN, Measure.PROBE, Measure.LOGME)
"""How well the features tell the classes apart; the last on one backbone only: its scale is the network's."""

FLOORS = {
    "size": log(2),
    "classes": log(2),
    Measure.KNN: 0.1,
    Measure.PROBE: 0.1,
    Measure.LOGME: 0.1,
    "stem": 0.1,
}
"""Least standard deviations. Evidence that hardly differs must not magnify trifles."""

DECLARED = 0.5
"""Standard deviation of similar (1) and dissimilar (0) where both are equally frequent."""

GROUPS = {
    "size": "images per class",
    "classes": "number of classes",
    "features": "accuracy and evidence of frozen features",
    "likeness": "similarity to the source",
}
"""What a distance is made of, in words. Each group counts once, however many measures it has."""


@dataclass(frozen=True)
class Neighbour:
    """A condition, its distance in standard deviations, and its share of the weight."""

    condition: Condition
    distance: float
    weight: float


@dataclass(frozen=True)
class Ranked:
    """A strategy as the neighbours see it. Gains over the reference and accuracies are fractions.

    low, high: the least and the largest gain among the datasets, weighted within each; a spread, not an interval.
    accuracy: expected test accuracy, and odds, its log odds; seconds: of training and preparation; times: as a multiple of
    the reference's.
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


@dataclass(frozen=True)
class Advice:
    """The strategies, best first, and what the order rests on.

    used: groups that distances could be taken in. by_probe: whether accuracies are expected relative to the target's
    own probe; otherwise they are simply the neighbours'.
    """

    reference: str
    ranked: list[Ranked]
    neighbours: list[Neighbour]
    used: list[str]
    by_probe: bool

    @property
    def nearest(self) -> float:
        return self.neighbours[0].distance

    def of(self, strategy: str | None) -> Ranked | None:
        return next((r for r in self.ranked if r.strategy == strategy), None)


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
    used = [group for group in GROUPS if _known(place, group)]
    return (
        Advice(reference, sorted(ranked, key=lambda r: -r.gain), neighbours, used, by_probe)
        if ranked
        else None
    )


def _ranked(
    strategy: str, reference: str, place: Place, near: Sequence[tuple[Neighbour, float]], by_probe: bool
) -> Ranked:
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
    return Ranked(
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


def weigh(place: Place, evidence: Sequence[Condition]) -> list[Neighbour]:
    """All conditions, nearest first; their weights sum to 1."""
    scale = scales([c.place for c in evidence])
    squared = [squared_distance(place, c.place, scale) for c in evidence]
    least = min(squared)  # the same shares, and no underflow where everything is far
    kernel = [exp(-(d - least) / 2) for d in squared]
    total = sum(kernel)
    found = [Neighbour(c, sqrt(d), k / total) for c, d, k in zip(evidence, squared, kernel, strict=True)]
    return sorted(found, key=lambda n: n.distance)


def scales(places: Sequence[Place]) -> dict[str, float]:
    """Standard deviations over the evidence, by coordinate, at least `FLOORS`."""
    values: dict[str, list[float]] = {name: [] for name in FLOORS}
    for place in places:
        for name, value in _coordinates(place).items():
            values[name].append(value)
    return {name: max(pstdev(found) if found else 0.0, FLOORS[name]) for name, found in values.items()}


def _coordinates(place: Place) -> dict[str, float]:
    found = {
        "size": log(place.n_per_class),
        **{m: place.measures[m] for m in FEATURES if m in place.measures},
    }
    if place.classes:
        found["classes"] = log(place.classes)
    if Measure.FRECHET_STEM in place.measures:
        found["stem"] = place.measures[Measure.FRECHET_STEM]
    return found


def squared_distance(target: Place, other: Place, scale: Mapping[str, float]) -> float:
    """The sum over the groups that are known of the target, and of the backbones' difference."""
    groups: list[tuple[str, Callable[[], float | None]]] = [
        ("size", lambda: _difference("size", target, other, scale)),
        ("classes", lambda: _difference("classes", target, other, scale)),
        ("features", lambda: _features(target, other, scale)),
        ("likeness", lambda: _likeness(target, other, scale)),
    ]
    total = 0.0 if target.backbone == other.backbone else UNKNOWN
    for name, squared in groups:
        if _known(target, name):
            found = squared()
            total += UNKNOWN if found is None else found
    return total


def _known(place: Place, group: str) -> bool:
    if group == "features":
        return any(m in place.measures for m in FEATURES)
    if group == "likeness":
        return place.similar is not None or Measure.FRECHET_STEM in place.measures
    return group == "size" or place.classes is not None


def _difference(name: str, a: Place, b: Place, scale: Mapping[str, float]) -> float | None:
    """Squared and standardised; None where either is unknown."""
    x, y = _coordinates(a).get(name), _coordinates(b).get(name)
    return None if x is None or y is None else ((x - y) / scale[name]) ** 2


def _features(target: Place, other: Place, scale: Mapping[str, float]) -> float | None:
    """The mean over the measures that both have. Given a curve, at the other's number of images: they depend on it."""
    own = at_size(target, other.n_per_class) if target.curve else target.measures
    same = target.backbone == other.backbone
    shared = [m for m in FEATURES if m in own and m in other.measures and (same or m != Measure.LOGME)]
    return fmean(((own[m] - other.measures[m]) / scale[m]) ** 2 for m in shared) if shared else None


def at_size(place: Place, n: float) -> dict[str, float]:
    """The measures along the curve, linear in log n; beyond its ends those of the nearest end."""
    sizes = sorted(place.curve)
    below = max((s for s in sizes if s <= n), default=sizes[0])
    above = min((s for s in sizes if s >= n), default=sizes[-1])
    part = 0.0 if below == above else log(n / below) / log(above / below)
    low, high = place.curve[below], place.curve[above]
    return {m: (1 - part) * low[m] + part * high[m] for m in low if m in high}


def _likeness(target: Place, other: Place, scale: Mapping[str, float]) -> float | None:
    """By the stem's distance, which is comparable on one backbone only; else by similar and dissimilar."""
    if target.backbone == other.backbone:
        found = _difference("stem", target, other, scale)
        if found is not None:
            return found
    if target.similar is None or other.similar is None:
        return None
    return ((target.similar - other.similar) / DECLARED) ** 2

"""How far a dataset lies from the conditions of the evidence, in standard deviations, and what that makes them weigh."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log, sqrt
from statistics import fmean, pstdev

from bench.core.schema import Measure
from reports.analysis.evidence import Condition, Place

UNKNOWN = 2.0
"""Squared distance that stands for an unknown one: the expected one of two standardised values drawn at random.

Another backbone counts as much.
"""

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


class Group(StrEnum):
    """What a distance is made of. Each group counts once, however many measures it has."""

    SIZE = "size"  # images per class
    CLASSES = "classes"  # how many
    FEATURES = "features"  # accuracy and evidence of frozen features
    LIKENESS = "likeness"  # similarity to the source


@dataclass(frozen=True)
class Neighbour:
    """A condition, its distance in standard deviations, and its share of the weight."""

    condition: Condition
    distance: float
    weight: float


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
    groups: list[tuple[Group, Callable[[], float | None]]] = [
        (Group.SIZE, lambda: _difference("size", target, other, scale)),
        (Group.CLASSES, lambda: _difference("classes", target, other, scale)),
        (Group.FEATURES, lambda: _features(target, other, scale)),
        (Group.LIKENESS, lambda: _likeness(target, other, scale)),
    ]
    total = 0.0 if target.backbone == other.backbone else UNKNOWN
    for name, squared in groups:
        if known(target, name):
            found = squared()
            total += UNKNOWN if found is None else found
    return total


def known(place: Place, group: Group) -> bool:
    if group == Group.FEATURES:
        return any(m in place.measures for m in FEATURES)
    if group == Group.LIKENESS:
        return place.similar is not None or Measure.FRECHET_STEM in place.measures
    return group == Group.SIZE or place.classes is not None


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

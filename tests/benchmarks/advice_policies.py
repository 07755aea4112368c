"""Ways to advise from evidence, held against each other: leave one dataset out, regret in points, intervals over datasets.

    python -m tests.benchmarks.advice_policies [FILE.parquet ...]     # default: the evidence of the package

Each way gives an expected gain over the reference for every strategy, from the conditions of the other datasets, and is
judged by what its pick loses against the best measured strategy of the condition. "chosen" picks the way itself, for each
dataset anew, by the same leave-one-out over the other datasets: what one gets who ships the way that looks best.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from statistics import fmean

import numpy as np

from bench.advice import gathering
from bench.core.schema import Measure
from reports.analysis import evidence as known
from reports.analysis.dataset_intervals import by_dataset, over_datasets
from reports.analysis.distance import scales, squared_distance
from reports.analysis.evidence import Condition, Place
from reports.render.text import interval, points, table

Gains = Mapping[str, float]
Way = Callable[[Place, Sequence[Condition], str], Gains]
COVERED = 0.5


def kernel(width: float = 1.0, shrink: float = 0.0) -> Way:
    """Gaussian weights; shrink: how many conditions at distance 0 the mean over datasets counts for."""

    def way(place: Place, rest: Sequence[Condition], reference: str) -> Gains:
        scale = scales([c.place for c in rest])
        weights = [exp(-squared_distance(place, c.place, scale) / (2 * width**2)) for c in rest]
        if not shrink:
            least = min(squared_distance(place, c.place, scale) for c in rest)
            weights = [exp(-(squared_distance(place, c.place, scale) - least) / (2 * width**2)) for c in rest]
        return _weighted(rest, weights, reference, static(place, rest, reference), shrink)

    return way


def _weighted(
    rest: Sequence[Condition], weights: Sequence[float], reference: str, prior: Gains, strength: float
) -> Gains:
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for condition, weight in zip(rest, weights, strict=True):
        for strategy, gain in condition.gains(reference).items():
            sums[strategy][0] += weight * gain
            sums[strategy][1] += weight
    total = sum(weights)
    found = {}
    for strategy, (top, below) in sums.items():
        if below >= COVERED * total or strength:
            found[strategy] = (top + strength * prior.get(strategy, -1.0)) / (below + strength)
    return found


def static(place: Place, rest: Sequence[Condition], reference: str) -> Gains:
    """The mean over datasets, wherever the target lies."""
    by: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for condition in rest:
        for strategy, gain in condition.gains(reference).items():
            by[strategy][condition.dataset].append(gain)
    datasets = len({c.dataset for c in rest})
    return {s: fmean(map(fmean, own.values())) for s, own in by.items() if 2 * len(own) >= datasets}


def size_only(place: Place, rest: Sequence[Condition], reference: str) -> Gains:
    """By images per class and network alone: no measure of the images."""
    bare = [replace(c, place=Place(c.place.backbone, c.place.n_per_class)) for c in rest]
    return kernel()(Place(place.backbone, place.n_per_class), bare, reference)


def ridge(strength: float) -> Way:
    """A straight line of each strategy's gain in what is measured, its slopes pulled towards zero."""

    def way(place: Place, rest: Sequence[Condition], reference: str) -> Gains:
        features = np.array([_features(c.place) for c in rest])
        center, spread = features.mean(0), features.std(0) + 1e-9
        found = {}
        for strategy in static(place, rest, reference):
            rows = [i for i, c in enumerate(rest) if strategy in c.gains(reference)]
            x = (features[rows] - center) / spread
            y = np.array([rest[i].gains(reference)[strategy] for i in rows])
            slope = np.linalg.solve(x.T @ x + strength * len(rows) * np.eye(x.shape[1]), x.T @ (y - y.mean()))
            target = (np.array(_features(place)) - center) / spread
            found[strategy] = float(y.mean() + (target - x.mean(0)) @ slope)
        return found

    return way


def _features(place: Place) -> list[float]:
    measures = place.measures
    return [
        log(place.n_per_class),
        log(place.classes or 5),
        measures.get(Measure.PROBE, 0.5),
        measures.get(Measure.KNN, 0.5),
        measures.get(Measure.BATCH_NORM, 0.0),
        float(bool(place.similar)),
    ]


WAYS: dict[str, Way] = {
    "kernel (shipped)": kernel(),
    "kernel, width 2": kernel(2.0),
    "kernel, shrunk by 1": kernel(1.0, 1.0),
    "kernel, shrunk by 4": kernel(1.0, 4.0),
    "kernel of size alone": size_only,
    "ridge .3": ridge(0.3),
    "ridge 1": ridge(1.0),
    "static order": static,
}


def regrets(way: Way, evidence: Sequence[Condition], reference: str) -> list[tuple[str, float]]:
    """(dataset, regret) of each condition, its dataset held out."""
    found = []
    for condition in evidence:
        rest = [c for c in evidence if c.dataset != condition.dataset]
        found.append((condition.dataset, _regret(way, condition, rest, reference)))
    return found


def _regret(way: Way, condition: Condition, rest: Sequence[Condition], reference: str) -> float:
    gains = condition.gains(reference)
    expected = {s: g for s, g in way(condition.place, rest, reference).items() if s in gains}
    return max(gains.values()) - gains[max(expected, key=lambda s: expected[s])]


def chosen(evidence: Sequence[Condition], reference: str) -> list[tuple[str, float]]:
    """The way is picked on the other datasets, too."""
    found = []
    for dataset in dict.fromkeys(c.dataset for c in evidence):
        rest = [c for c in evidence if c.dataset != dataset]
        inner = {name: over_datasets(regrets(way, rest, reference)).mean for name, way in WAYS.items()}
        best = WAYS[min(inner, key=lambda name: inner[name])]
        found += [(dataset, _regret(best, c, rest, reference)) for c in evidence if c.dataset == dataset]
    return found


def fixed(
    pick: Callable[[Condition], str | None], evidence: Sequence[Condition], reference: str
) -> list[tuple[str, float]]:
    """A policy that looks at no other dataset."""
    found = []
    for condition in evidence:
        gains = condition.gains(reference)
        if (name := pick(condition)) in gains and name is not None:
            found.append((condition.dataset, max(gains.values()) - gains[name]))
    return found


def main(paths: Sequence[str]) -> None:
    sources = [gathering.study_of(path, "", Path(path)) for path in paths] or list(gathering.of_package())
    evidence = gathering.gather(sources)
    reference = evidence.reference
    assert reference is not None
    conditions = known.without_curves(evidence.conditions)
    rows = {name: regrets(way, conditions, reference) for name, way in WAYS.items()}
    rows["chosen"] = chosen(conditions, reference)
    rows["the textbook's rule"] = fixed(lambda c: c.rule, conditions, reference)
    rows["always full"] = fixed(lambda c: reference, conditions, reference)
    rows["always linear probe"] = fixed(lambda c: c.probe, conditions, reference)
    base = rows["static order"]
    lines = []
    for name, own in rows.items():
        mean = over_datasets(own)
        pairs = _paired(own, base)
        bounds = [
            interval(m.low, m.high) if m.low is not None and m.high is not None else "" for m in (mean, pairs)
        ]
        lines.append(
            [name, f"{points(mean.mean)} {bounds[0]}", f"{points(pairs.mean, sign=True)} {bounds[1]}"]
        )
    print(
        f"{len(conditions)} conditions of {len({c.dataset for c in conditions})} datasets; reference {reference}\n"
    )
    print(table(["way", "regret, points", "minus static order"], lines))


def _paired(own: Sequence[tuple[str, float]], other: Sequence[tuple[str, float]]):
    """Both as means by dataset, of those that both have."""
    means = [by_dataset(found) for found in (own, other)]
    return over_datasets([(d, means[0][d] - means[1][d]) for d in means[0] if d in means[1]])


if __name__ == "__main__":
    main(sys.argv[1:])

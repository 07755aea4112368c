"""Do two networks agree on a dataset? Only conditions (dataset, images per class) that both have are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from reports.analysis.over_datasets import by_strategy
from reports.analysis.rows import Row, condition_of
from reports.analysis.stats import Mean, mean_of


@dataclass(frozen=True)
class Agreement:
    """Of networks a and b, each dataset one observation.

    Attributes:
        correlation: Spearman's, of the strategies' accuracies on the one and on the other.
        lost: Accuracy lost on b by a's best strategy against b's own best, which is picked on b's other seeds.
    """

    a: str
    b: str
    correlation: Mean
    lost: Mean
    datasets: int


def agreements(rows: Iterable[Row]) -> list[Agreement]:
    """Of every ordered pair of networks that share two datasets."""
    groups: dict[str, dict[tuple[str, int], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        dataset, n, backbone = condition_of(row)
        groups[backbone][dataset, n].append(row)
    found = []
    for a in groups:
        for b in groups:
            shared = [key for key in groups[a] if key in groups[b]]
            if a != b and len({dataset for dataset, _ in shared}) > 1:
                found.append(_agreement(a, b, {k: (groups[a][k], groups[b][k]) for k in shared}))
    return found


def _agreement(a: str, b: str, pairs: Mapping[tuple[str, int], tuple[list[Row], list[Row]]]) -> Agreement:
    correlations: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, list[float]] = defaultdict(list)
    for (dataset, _), (on_a, on_b) in pairs.items():
        first, second = by_strategy(on_a), by_strategy(on_b)
        names = [s for s in first if s in second]
        if len(names) > 2:
            correlations[dataset].append(_spearman(first, second, names))
            lost[dataset] += _lost(first, second, names)
    means = [mean_of([fmean(own) for own in found.values() if own]) for found in (correlations, lost)]
    return Agreement(a, b, means[0], means[1], len(correlations))


Accuracies = Mapping[str, Mapping[int, float]]


def _spearman(first: Accuracies, second: Accuracies, names: list[str]) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata([fmean(by[s].values()) for s in names]) for by in (first, second)]
    centered = [own - own.mean() for own in ranks]
    norm = float((centered[0] @ centered[0]) * (centered[1] @ centered[1])) ** 0.5
    return float(centered[0] @ centered[1]) / norm if norm else 0.0


def _lost(first: Accuracies, second: Accuracies, names: list[str]) -> list[float]:
    """Per seed of the second: its own best over its other seeds, minus what is best on the first."""
    taken = max(names, key=lambda s: fmean(first[s].values()))
    seeds = [seed for seed in second[taken] if all(seed in second[s] for s in names)]
    values = []
    for seed in seeds if len(seeds) > 1 else ():
        others = {s: fmean(second[s][k] for k in seeds if k != seed) for s in names}
        own = max(others, key=lambda s: others[s])
        values.append(second[own][seed] - second[taken][seed])
    return values

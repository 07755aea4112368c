"""What a study of many datasets says of datasets like these: each dataset is one observation, whatever its seeds.

Within a cell of the matrix, a dataset's accuracies are averaged over its seeds, and the datasets take the place that seeds
have in a report: verdicts, intervals and ties are those of `reports.analysis.verdict` and `reports.analysis.ties`, and
speak for the population that the datasets are a sample of.

A dataset's own regret is *cross-fitted*: of each seed, the strategy that is best over the other seeds, minus the rule's
pick, on that seed alone. Nothing is picked on what judges it, so there is no winner's curse; what is estimated is what
somebody gains who measures with one seed less. It may be negative.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import Metric
from reports.analysis.rows import Row, accuracy_of, condition_of, finished, known
from reports.analysis.ties import Ties, ties
from reports.analysis.verdict import Cell, judge_cell

ALL = "all datasets"
"""Stands for the dataset in averaged rows, whose seeds are the datasets."""

AVERAGED = (Metric.TEST_ACCURACY, Metric.TRAIN_SECONDS, Metric.PREPARE_SECONDS, Metric.PEAK_MEMORY)


@dataclass(frozen=True)
class Regret:
    """The rule on one dataset, at one size, on one network. Accuracies are fractions.

    Attributes:
        best: Of all strategies, by the mean over seeds.
        regret: The best's mean minus the rule's, biased upward.
        lost: The same, cross-fitted; nan with fewer than two seeds.
    """

    dataset: str
    n_per_class: int
    backbone: str
    cell: str
    rule: str
    best: str
    regret: float
    lost: float


@dataclass(frozen=True)
class Share:
    """Of `n` datasets `k`, and the exact 95 % interval of the share (Clopper and Pearson, 1934)."""

    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class CellOver:
    """A cell of the matrix on one network, over datasets.

    Attributes:
        cell: Judged with datasets as seeds: the verdict is on the mean over datasets like these.
        ties: None where fewer than two strategies can be compared.
        regrets: Of each dataset.
        above: The datasets on which the rule loses more than the margin, by `Regret.lost`.
    """

    backbone: str
    cell: Cell
    ties: Ties | None
    regrets: list[Regret]
    above: Share


def cells_over(
    rows: Sequence[Row], rules: Mapping[str, str | None], margin: float, names: Iterable[str]
) -> list[CellOver]:
    """Of each network and cell that has finished runs. rows: of one setting, as "tuned"."""
    found = []
    for backbone in dict.fromkeys(row["backbone"] for row in rows):
        for name in names:
            own = [row for row in finished(rows) if (row["backbone"], row["cell"]) == (backbone, name)]
            if own:
                found.append(_cell_over(name, backbone, own, rules.get(name), margin))
    return found


def _cell_over(name: str, backbone: str, rows: Sequence[Row], rule: str | None, margin: float) -> CellOver:
    averaged = average_seeds(rows)
    cell = judge_cell(name, averaged, rule, margin)
    lost = regrets(rows, {name: rule})
    above = share(sum(one.lost > margin for one in lost), sum(not math.isnan(one.lost) for one in lost))
    return CellOver(backbone, cell, ties(averaged, cell, margin), lost, above)


def average_seeds(rows: Iterable[Row]) -> list[Row]:
    """A row per network, cell, setting, strategy and dataset: the mean of its finished runs; the dataset is its seed.

    Of several sizes of a dataset in a cell, the mean over sizes.
    """
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in finished(rows):
        keys = ("backbone", "cell", "setting", "strategy", "dataset")
        groups[tuple(str(row[key]) for key in keys)].append(row)  # type: ignore[literal-required]
    places = {dataset: place for place, dataset in enumerate(sorted({key[-1] for key in groups}))}
    return [_average(own, places[key[-1]]) for key, own in groups.items()]


def _average(rows: Sequence[Row], place: int) -> Row:
    row = rows[0].copy()
    row["dataset"], row["n_per_class"], row["seed"] = ALL, 0, place
    for key in AVERAGED:
        values = known(rows, key)
        row[key] = fmean(values) if values else None  # type: ignore[literal-required]
    return row


def regrets(rows: Iterable[Row], rules: Mapping[str, str | None]) -> list[Regret]:
    """One per dataset, size and network in which the rule's pick and another strategy have results."""
    groups: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in finished(rows):
        groups[condition_of(row)].append(row)
    found = []
    for (dataset, n, backbone), own in groups.items():
        cell = own[0]["cell"]
        rule = rules.get(cell)
        accuracies = by_strategy(own)
        if rule in accuracies and len(accuracies) > 1:
            means = {strategy: fmean(by_seed.values()) for strategy, by_seed in accuracies.items()}
            best = max(means, key=lambda strategy: means[strategy])
            lost = cross_fitted(accuracies, rule)
            found.append(Regret(dataset, n, backbone, cell, rule, best, means[best] - means[rule], lost))
    return found


def by_strategy(rows: Iterable[Row]) -> dict[str, dict[int, float]]:
    """Test accuracy by strategy and seed."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        found[row["strategy"]][row["seed"]] = accuracy_of(row)
    return dict(found)


def cross_fitted(accuracies: Mapping[str, Mapping[int, float]], rule: str) -> float:
    """Mean over seeds of (the best over the other seeds - rule), on strategies with all of the rule's seeds.

    nan with fewer than two seeds.
    """
    seeds = sorted(accuracies[rule])
    complete = {strategy: own for strategy, own in accuracies.items() if set(seeds) <= own.keys()}
    if len(seeds) < 2:
        return math.nan
    lost = []
    for seed in seeds:
        others = {s: fmean(own[k] for k in seeds if k != seed) for s, own in complete.items()}
        best = max(others, key=lambda s: others[s])
        lost.append(complete[best][seed] - complete[rule][seed])
    return fmean(lost)


def share(k: int, n: int, level: float = 0.95) -> Share:
    """k of n, with its exact interval."""
    from scipy.special import betaincinv

    if not n:
        return Share(0, 0, 0.0, 1.0)
    tail = (1 - level) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Share(k, n, low, high)

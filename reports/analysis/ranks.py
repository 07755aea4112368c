"""Ranks of all strategies over many conditions: Friedman's test and Nemenyi's critical difference.

The field's comparison of many methods over many data sets (Demsar, JMLR 7, 2006). A *condition* is (dataset,
n_per_class, backbone); its accuracies are means over the seeds that all strategies have there. The test speaks for
conditions like these as far as they are independent; those of one dataset are not quite.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

from bench.core.schema import CELLS
from reports.analysis.rows import Row, condition_of
from reports.analysis.stats import ALPHA
from reports.analysis.units import blocks

FEWEST_CONDITIONS = 5
FEWEST_STRATEGIES = 3
LEVEL = 1 - 2 * ALPHA


@dataclass(frozen=True)
class Ranks:
    """Mean rank per strategy, 1 the best, best first; ties share their mean rank.

    statistic: Iman and Davenport's F of Friedman's chi-squared; p: its p-value. difference: mean ranks further apart
    than this differ at 5 % for all pairs together. groups: runs of strategies no further apart than that. left_out:
    strategies that lack a condition. seeds: fewest seeds that stand behind a condition.
    """

    ranks: dict[str, float]
    conditions: int
    statistic: float
    p: float
    difference: float
    groups: list[list[str]]
    left_out: list[str]
    seeds: int


@dataclass(frozen=True)
class TooFew:
    """No test: so many conditions and strategies have results on the same seeds."""

    conditions: int
    strategies: int


def rank_test(rows: Sequence[Row]) -> Ranks | TooFew:
    """The ranks, or what there is where that is too little for a test."""
    rows = [row for row in rows if row["cell"] in CELLS]
    accuracies, left_out, seeds = _conditions(rows)
    strategies = list(next(iter(accuracies), {}))
    if len(accuracies) < FEWEST_CONDITIONS or len(strategies) < FEWEST_STRATEGIES:
        return TooFew(len(accuracies), len(strategies))
    table = [[found[name] for name in strategies] for found in accuracies]
    statistic, p = iman_davenport(table)
    ranks = dict(sorted(zip(strategies, mean_ranks(table), strict=True), key=lambda item: item[1]))
    difference = critical_difference(len(strategies), len(table))
    return Ranks(ranks, len(table), statistic, p, difference, groups(ranks, difference), left_out, seeds)


def _conditions(rows: Sequence[Row]) -> tuple[list[dict[str, float]], list[str], int]:
    """Mean accuracies per condition; strategies left out, for want of a planned condition; fewest seeds.

    Conditions in which the others share no seed are dropped.
    """
    planned = {condition_of(row) for row in rows}
    has: dict[str, set[tuple[str, int, str]]] = defaultdict(set)
    by: dict[tuple[str, int, str], list[dict[str, float]]] = defaultdict(list)
    for (dataset, n, backbone, _), found in blocks(rows).items():
        by[dataset, n, backbone].append(found)
        for name in found:
            has[name].add((dataset, n, backbone))
    labels = list(dict.fromkeys(row["strategy"] for row in rows))
    measured = {condition for condition in planned if by[condition]}
    kept = [name for name in labels if has[name] == measured]
    shared = [[found for found in by[c] if set(kept) <= set(found)] for c in sorted(measured)]
    complete = [found for found in shared if found and kept]
    means = [{name: fmean(f[name] for f in found) for name in kept} for found in complete]
    return means, [name for name in labels if name not in kept], min(map(len, complete), default=0)


def mean_ranks(table: Sequence[Sequence[float]]) -> list[float]:
    """Mean rank of each column, 1 for the largest value of a line; equal values share their mean rank."""
    from scipy.stats import rankdata

    means: list[float] = (
        rankdata([[-value for value in line] for line in table], axis=1).mean(axis=0).tolist()
    )
    return means


def iman_davenport(table: Sequence[Sequence[float]]) -> tuple[float, float]:
    """F and its p-value from Friedman's chi-squared of [conditions][strategies], which alone is too cautious.

    F = (N - 1) chi2 / (N (k - 1) - chi2), with k - 1 and (k - 1)(N - 1) degrees of freedom (Iman and Davenport, 1980).
    """
    from scipy.special import fdtrc
    from scipy.stats import friedmanchisquare

    n, k = len(table), len(table[0])
    if all(len(set(line)) == 1 for line in table):
        return 0.0, 1.0
    chi2 = float(friedmanchisquare(*zip(*table, strict=True)).statistic)
    room = n * (k - 1) - chi2
    if room <= 1e-9:  # all lines have the same order
        return math.inf, 0.0
    statistic = (n - 1) * chi2 / room
    return statistic, float(fdtrc(k - 1, (k - 1) * (n - 1), statistic))


@lru_cache(maxsize=8)
def critical_difference(strategies: int, conditions: int) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / (6 N)), q the upper 5 % point of the studentised range over sqrt(2)."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(LEVEL, strategies, math.inf)) / math.sqrt(2)
    return q * math.sqrt(strategies * (strategies + 1) / (6 * conditions))


def groups(ranks: dict[str, float], difference: float) -> list[list[str]]:
    """Maximal runs of the ordered strategies whose ends are not further apart than `difference`; two at least."""
    names = sorted(ranks, key=ranks.__getitem__)
    found: list[list[str]] = []
    for i, name in enumerate(names):
        run = [other for other in names[i:] if ranks[other] - ranks[name] <= difference]
        if len(run) > 1 and not (found and run[-1] == found[-1][-1]):
            found.append(run)
    return found

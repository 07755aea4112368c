"""Paired comparisons with intervals. Pure functions on units (see `reports.analysis.units`); accuracies are fractions.

Three claims, three corrections, each with the same one-sided level: `ALPHA`, or a part of it where a study is looked at
several times (`reports.analysis.levels`):

- *Some alternative is better than the rule's pick*: one chance finding among J would do, so p-values are Holm's.
- *No alternative is better by the margin*: every one of J must be shown, and none may be missed. This is an
  intersection-union test (Berger, 1982), in which every alternative is tested at the full level: if one is truly
  better by the margin, that one alone must be overlooked, which happens with that probability at most.
- *The regret lies in an interval*: for the same reasons the upper bound is the largest of the upper bounds of each
  by itself, the lower bound the largest of the simultaneous lower bounds (see `reports.analysis.verdict`).

With several datasets a seed's value is the mean over the datasets, and Student's t is over seeds: exact for the average
over these datasets, however much they differ, and however uneven their noise (docs/statistics.md, "Several datasets").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from scipy.special import stdtr, stdtrit

from reports.analysis.units import Units, by_seed, covers, datasets, pairs, rounding_sd

LEVEL = 0.95
ALPHA = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Mean:
    """Mean of `n` values, its standard error and 95 % Student-t interval (nan for n < 2)."""

    n: int
    mean: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """`strategy` minus `reference` over the `n` seeds that are complete in both; mean is nan for n = 0.

    low, high: of the interval that holds together with those of the other strategies; own_low, own_high: of the
    interval by itself; both (-inf, inf) where unknown. p: Holm's, one-sided, of "strategy is not better".
    datasets: how many a seed's value is the mean of. level: one-sided, of tests and of each end of the intervals.
    known: at least 2 seeds, and some in every dataset, size and backbone that the reference has.
    """

    strategy: str
    reference: str
    n: int
    mean: float
    se: float = math.nan
    low: float = -math.inf
    high: float = math.inf
    own_low: float = -math.inf
    own_high: float = math.inf
    p: float = 1.0
    datasets: int = 1
    level: float = ALPHA

    @property
    def known(self) -> bool:
        return math.isfinite(self.low)

    def upper(self, level: float) -> float:
        """The upper end of its own interval at another one-sided level."""
        return self.mean + t_quantile(self.n - 1, 1 - level) * self.se if self.known else math.inf

    def lower(self, level: float) -> float:
        """The lower end of its own interval at another one-sided level."""
        return self.mean - t_quantile(self.n - 1, 1 - level) * self.se if self.known else -math.inf

    def beats(self, margin: float) -> bool:
        """Surely better, and by more than the margin as far as one can see."""
        return self.p <= self.level and self.mean > margin


NONE_DROPPED: Mapping[str, Comparison] = MappingProxyType({})


def mean_of(values: Sequence[float], level: float = LEVEL, smallest_sd: float = 0.0) -> Mean:
    """Mean with a two-sided Student-t interval. `smallest_sd`: what the spread is taken to be at least."""
    n = len(values)
    if n < 2:
        return Mean(n, values[0] if values else math.nan, math.nan, math.nan, math.nan)
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    se = max(sd, smallest_sd) / math.sqrt(n)
    half = t_quantile(n - 1, (1 + level) / 2) * se
    return Mean(n, mean, se, mean - half, mean + half)


def compare(
    cell: Units,
    reference: str,
    alternatives: Sequence[str],
    level: float = ALPHA,
    dropped: Mapping[str, Comparison] = NONE_DROPPED,
) -> list[Comparison]:
    """(alternative - reference) for all alternatives.

    Corrections count also the alternatives that have no result yet, so that the level does not depend on what
    happened to finish.

    Args:
        level: One-sided.
        dropped: Comparisons of an earlier look, which stay as they were; they count in the corrections.
    """
    step = rounding_sd(cell)
    found = [
        dropped.get(name) or _compare(cell, name, reference, step, level, len(alternatives))
        for name in alternatives
    ]
    adjusted = holm([1.0 if c.strategy in dropped else c.p for c in found])
    return [c if c.strategy in dropped else replace(c, p=p) for c, p in zip(found, adjusted, strict=True)]


def _compare(
    cell: Units, strategy: str, reference: str, step: float, level: float, family: int
) -> Comparison:
    found = pairs(cell, strategy, reference)
    covered = len(datasets(found))
    mean = mean_of(by_seed(found), 1 - 2 * level, smallest_sd=step / math.sqrt(max(1, covered)))
    if mean.n < 2 or not covers(cell, strategy, reference):
        return Comparison(strategy, reference, mean.n, mean.mean, datasets=covered, level=level)
    half = t_quantile(mean.n - 1, 1 - level / family) * mean.se
    together = (mean.mean - half, mean.mean + half)
    p = better(mean)
    return Comparison(
        strategy, reference, mean.n, mean.mean, mean.se, *together, mean.low, mean.high, p, covered, level
    )


def better(mean: Mean) -> float:
    """One-sided p-value of "not above 0"."""
    if mean.se == 0:  # all values equal, and no rounding that might hide a spread
        return 0.0 if mean.mean > 0 else 1.0
    return float(stdtr(mean.n - 1, -mean.mean / mean.se))


def two_sided(mean: Mean) -> float:
    """p-value of "is 0"."""
    one = better(mean)
    return min(1.0, 2 * min(one, 1 - one)) if mean.se else float(mean.mean == 0)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted step-down for all `ps` together (Holm, Scandinavian Journal of Statistics, 1979)."""
    adjusted, largest = [1.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = largest
    return adjusted


def t_quantile(df: float, p: float) -> float:
    return float(stdtrit(df, p))

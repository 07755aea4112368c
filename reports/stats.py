"""Paired comparisons with simultaneous intervals. Pure functions on rows; accuracies are fractions.

A *block* is (dataset, n_per_class, backbone, seed): within it all strategies saw the same split, so the
difference of two strategies is taken per block, and the spread over class draws, which is large, cancels.

On picking winners: to pick the best of J strategies and then give it an ordinary 95 % interval overstates it,
for the pick is lucky. Here all J - 1 intervals hold *at once* with 95 % (Bonferroni), so they also hold for
whichever strategy one looks at after seeing the data.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, stdev

from scipy.special import stdtrit

from bench.schema import Metric, Status
from reports.records import Row

LEVEL = 0.95
COARSEST = 0.01
"""Step between possible accuracies that is assumed at most: that of a test set of 100 images."""

Block = tuple[str, int, str, int]
Blocks = Mapping[Block, Mapping[str, float]]


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
    """`strategy` minus `reference` over the `n` blocks where both have a result.

    low, high: simultaneous interval (-inf, inf for n < 2). mean is nan for n = 0.
    """

    strategy: str
    reference: str
    n: int
    mean: float
    se: float
    low: float
    high: float


def blocks(rows: Iterable[Row]) -> dict[Block, dict[str, float]]:
    """Test accuracy by block and strategy, of the finished runs that have one."""
    found: dict[Block, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None:
            block = (row["dataset"], row["n_per_class"], row["backbone"], row["seed"])
            found[block][row["strategy"]] = row[Metric.TEST_ACCURACY]
    return dict(found)


def mean_of(values: Sequence[float], level: float = LEVEL, smallest_sd: float = 0.0) -> Mean:
    """Mean with a two-sided Student-t interval. `smallest_sd`: what the spread is taken to be at least."""
    n = len(values)
    if n < 2:
        return Mean(n, values[0] if values else math.nan, math.nan, math.nan, math.nan)
    mean, se = fmean(values), max(stdev(values), smallest_sd) / math.sqrt(n)
    half = t_quantile(n - 1, (1 + level) / 2) * se
    return Mean(n, mean, se, mean - half, mean + half)


def simultaneous(
    cell: Blocks, reference: str, alternatives: Sequence[str], level: float = LEVEL
) -> list[Comparison]:
    """(alternative - reference) for all alternatives; with probability `level` all intervals hold together.

    Bonferroni: each interval has level 1 - (1 - level) / len(alternatives), counting also the alternatives
    that have no result yet, so that the level does not depend on what happened to finish.
    """
    each = 1 - (1 - level) / max(len(alternatives), 1)
    floor = rounding_sd(cell)
    return [_compare(cell, name, reference, each, floor) for name in alternatives]


def _compare(cell: Blocks, strategy: str, reference: str, level: float, floor: float) -> Comparison:
    values = [
        found[strategy] - found[reference] for found in cell.values() if {strategy, reference} <= set(found)
    ]
    mean = mean_of(values, level, floor)
    if mean.n < 2:
        return Comparison(strategy, reference, mean.n, mean.mean, math.nan, -math.inf, math.inf)
    return Comparison(strategy, reference, mean.n, mean.mean, mean.se, mean.low, mean.high)


def rounding_sd(cell: Blocks) -> float:
    """Standard deviation that a paired difference has from rounding alone: sqrt(2 step^2 / 12).

    Accuracies are multiples of 1 / (test images). Two seeds that happen to give the same difference would
    otherwise have a spread of zero and an interval without width, and prove anything. The step is estimated
    by the smallest gap between accuracies of a dataset; it is 0 if all are equal.
    """
    by_dataset: dict[str, set[float]] = defaultdict(set)
    for (dataset, *_), found in cell.items():
        by_dataset[dataset].update(found.values())
    steps = [_smallest_gap(sorted(values)) for values in by_dataset.values()]
    return min(max(steps, default=0.0), COARSEST) / math.sqrt(6)


def _smallest_gap(values: Sequence[float]) -> float:
    """Gaps below 1e-6 are not steps but noise of 32-bit arithmetic."""
    return min((b - a for a, b in pairwise(values) if b - a > 1e-6), default=0.0)


def common(cell: Blocks, strategies: Iterable[str]) -> list[Mapping[str, float]]:
    """The blocks in which all of `strategies` have a result."""
    wanted = set(strategies)
    return [found for found in cell.values() if wanted <= set(found)]


@lru_cache(maxsize=512)
def t_quantile(df: int, p: float) -> float:
    return float(stdtrit(df, p))

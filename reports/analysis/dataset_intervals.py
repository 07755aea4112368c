"""Means over datasets, each one observation, where what is judged on one was learnt from the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

LEAST = 3
"""Datasets. With two, each is advised on from one, and an interval has 12.7 standard errors."""

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Mean over `n` datasets; low and high are None for n < 3."""

    n: int
    mean: float
    low: float | None
    high: float | None


def over_datasets(values: Sequence[tuple[str, float]]) -> Interval:
    """(dataset, value) pairs -> the mean of the datasets' means, with its t interval over datasets.

    The variance of the mean is s^2 (1/n + 1/(n - 1)), tested over learnt from. With s^2 / n, 5 % of stores of pure noise
    passed `shown`, twice the nominal rate.
    """
    means = list(by_dataset(values).values())
    n, mean = len(means), fmean(means)
    if n < LEAST:
        return Interval(n, mean, None, None)
    half = two_sided_t(n - 1) * stdev(means) * sqrt(1 / n + 1 / (n - 1))
    return Interval(n, mean, mean - half, mean + half)


def by_dataset(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The mean of each dataset's values."""
    groups: dict[str, list[float]] = defaultdict(list)
    for dataset, value in values:
        groups[dataset].append(value)
    return {dataset: fmean(group) for dataset, group in groups.items()}


def two_sided_t(df: int) -> float:
    """The quantile of a two-sided interval at `LEVEL`."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + LEVEL) / 2))

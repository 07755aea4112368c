"""Bootstrap intervals of paired differences, shown beside Student's where they can be trusted.

With few values a percentile bootstrap is too narrow: it takes the spread without Bessel's correction and the normal
for Student's distribution. Measured coverage is in docs/statistics.md; `FEWEST_*` are where it comes near 95 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

import numpy as np

from reports.analysis.rows import Row
from reports.analysis.stats import ALPHA, LEVEL, Comparison, Mean, mean_of
from reports.analysis.units import Unit, pairs, units
from reports.analysis.verdict import Cell

RESAMPLES = 2000
FEWEST_SEEDS = 20
"""Of one dataset, from which on the interval is shown."""
FEWEST_DATASETS = 3
"""From which on the interval over datasets is shown."""


def over_seeds(values: Sequence[float], resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % interval of the mean over seeds of one dataset: bias-corrected and accelerated (BCa; Efron, 1987)."""
    from scipy.stats import bootstrap

    if np.ptp(values) == 0:
        return values[0], values[0]
    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=resamples,
        confidence_level=LEVEL,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def over_datasets(found: Mapping[Unit, float], resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % percentile interval of the mean of the datasets' means: datasets are drawn, then seeds within each.

    The two-stage bootstrap of nested data (Davison and Hinkley, 1997, section 3.8). It treats datasets as a sample,
    so it speaks for datasets like these, as far as a few can.
    """
    by = by_dataset(found)
    means = [_means(np.asarray(values), resamples, len(by), i) for i, values in enumerate(by.values())]
    drawn = np.stack(means)[_picks(len(by), resamples), np.arange(resamples)[:, None], np.arange(len(by))]
    low, high = np.quantile(drawn.mean(axis=1), [ALPHA, 1 - ALPHA])
    return float(low), float(high)


def _means(values: np.ndarray, resamples: int, slots: int, stream: int) -> np.ndarray:
    """[resamples, slots]: means of seeds drawn with replacement, one for each slot that may draw this dataset."""
    draws = np.random.default_rng((0, stream)).integers(0, len(values), (resamples, slots, len(values)))
    means: np.ndarray = values[draws].mean(axis=-1)
    return means


@lru_cache(maxsize=8)
def _picks(datasets: int, resamples: int) -> np.ndarray:
    """[resamples, datasets]: which dataset each slot draws."""
    return np.random.default_rng(1).integers(0, datasets, (resamples, datasets))


@dataclass(frozen=True)
class Resampled:
    """A comparison's bootstrap interval; `like`: Student's t over the datasets' means, nan for one dataset."""

    cell: str
    strategy: str
    n: int
    datasets: int
    mean: float
    bootstrap: tuple[float, float]
    like: Mean


def resampled(rows: Sequence[Row], judged: Cell) -> list[Resampled]:
    """Of the cell's known comparisons, the largest first; none where datasets and seeds are too few."""
    cell = units(row for row in rows if row["cell"] == judged.name)
    known = sorted((c for c in judged.comparisons if c.known), key=lambda c: -c.mean)
    found = (_resampled(judged.name, c, pairs(cell, c.strategy, c.reference)) for c in known)
    return [one for one in found if one]


def _resampled(cell: str, c: Comparison, found: Mapping[Unit, tuple[float, float]]) -> Resampled | None:
    values = {unit: own - other for unit, (own, other) in found.items()}
    if c.datasets >= FEWEST_DATASETS:
        by = by_dataset(values)
        return Resampled(
            cell,
            c.strategy,
            c.n,
            c.datasets,
            c.mean,
            over_datasets(values),
            mean_of([fmean(v) for v in by.values()]),
        )
    if c.datasets == 1 and c.n >= FEWEST_SEEDS:
        return Resampled(cell, c.strategy, c.n, 1, c.mean, over_seeds(list(values.values())), mean_of([]))
    return None


def by_dataset(found: Mapping[Unit, float]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for (dataset, _), value in found.items():
        values[dataset].append(value)
    return dict(values)

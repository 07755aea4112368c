"""Which measure of similarity predicts what transfer gains? Rank correlations over a study's conditions.

A *condition* is (dataset, n_per_class, backbone). Outcomes are paired differences of test accuracy, averaged over the
seeds in which both strategies have a result. Correlations are Spearman's, with distances negated: positive means that
the nearer target gains more.

The interval is the hull of two 95 % intervals. A percentile bootstrap over conditions (over whole datasets where there
are at least four: the sizes of one dataset are no independent evidence) knows about dependence but is too narrow for
few conditions: of a perfect order every resample is perfectly ordered. Fisher's z with Bonett and Wright's (2000)
standard error sqrt((1 + r^2 / 2) / (n - 3)) is honest there, for independent conditions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh
from statistics import fmean
from typing import Any

import numpy as np

from bench.core.records.study import StudyRecord
from bench.core.schema import DISTANCES, MEASURES
from reports.analysis.document import plainest, scratch_label
from reports.analysis.rows import Row
from reports.analysis.stats import LEVEL
from reports.analysis.units import blocks

LEAST = 4
"""Conditions. Three can be in the same order by chance once in three times, either way."""

RESAMPLES = 1000
SIZE = "n_per_class"
"""Not a measure: what one knows anyway, the images per class. A measure is worth something if it says more."""


@dataclass(frozen=True)
class Outcome:
    """`strategy` minus `reference`, labels of strategies."""

    strategy: str
    reference: str


@dataclass(frozen=True)
class Measured:
    """A condition: measures by name as they were measured; outcomes as fractions, None without a common seed."""

    dataset: str
    n_per_class: int
    backbone: str
    measures: dict[str, float]
    outcomes: list[float | None]


@dataclass(frozen=True)
class Prediction:
    """Spearman's correlation of a measure with an outcome over n conditions, and its interval.

    correlation is None where one of the two is constant.
    """

    measure: str
    n: int
    correlation: float | None
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.correlation is not None and (self.low > 0 or self.high < 0)


def outcomes(document: StudyRecord) -> list[Outcome]:
    """Gains of probe and full over scratch, and full minus probe: those whose strategies the study has."""
    probe, full = plainest(document, "linear_probe"), plainest(document, "full")
    scratch = scratch_label(document)
    pairs = [(probe, scratch), (full, scratch), (full, probe)]
    return [Outcome(a, b) for a, b in pairs if a is not None and b is not None]


def conditions(document: StudyRecord, rows: Sequence[Row]) -> list[Measured]:
    """The conditions that were measured, in the document's order; empty where the document has no measures."""
    wanted = outcomes(document)
    by_condition: dict[tuple[str, int, str], list[Any]] = defaultdict(list)
    for (dataset, n, backbone, _), accuracies in blocks(rows).items():
        by_condition[dataset, n, backbone].append(accuracies)
    found = []
    for entry in document.datasets:
        for measured in entry.measures:
            place = (entry.label, measured.n_per_class, measured.backbone)
            gains = [_mean_difference(by_condition[place], outcome) for outcome in wanted]
            found.append(Measured(*place, dict(measured.values), gains))
    return found


def _mean_difference(seeds: Sequence[dict[str, float]], outcome: Outcome) -> float | None:
    pair = {outcome.strategy, outcome.reference}
    values = [found[outcome.strategy] - found[outcome.reference] for found in seeds if pair <= set(found)]
    return fmean(values) if values else None


def measures_of(found: Sequence[Measured]) -> list[str]:
    """Names of the measures that any condition has, in the order of tables."""
    return [name for name in MEASURES if any(name in condition.measures for condition in found)]


def predict(found: Sequence[Measured], outcome: int) -> list[Prediction]:
    """How each measure, and at last the images per class, orders the conditions as the outcome does.

    Empty where fewer than LEAST conditions have both.
    """
    known = [condition for condition in found if condition.outcomes[outcome] is not None]
    predictions = []
    for name in [*measures_of(known), SIZE]:
        have = [condition for condition in known if name == SIZE or name in condition.measures]
        if len(have) >= LEAST:
            x = np.array([_nearness(condition, name) for condition in have])
            y = np.array([condition.outcomes[outcome] for condition in have], dtype=float)
            predictions.append(Prediction(name, len(have), *correlate(x, y, [c.dataset for c in have])))
    return predictions if any(p.measure != SIZE for p in predictions) else []


def _nearness(condition: Measured, name: str) -> float:
    if name == SIZE:
        return float(condition.n_per_class)
    return -condition.measures[name] if name in DISTANCES else condition.measures[name]


def correlate(x: np.ndarray, y: np.ndarray, datasets: Sequence[str]) -> tuple[float | None, float, float]:
    """x, y [n] -> Spearman's correlation and its interval, (None, -1, 1) where x or y is constant."""
    r = float(_spearman(x, y))
    if np.isnan(r):
        return None, -1.0, 1.0
    same_size: dict[int, list[np.ndarray]] = {}
    for i in _resamples(datasets):
        same_size.setdefault(len(i), []).append(i)
    resampled = np.concatenate([_spearman(x[i], y[i]) for i in map(np.stack, same_size.values())])
    low, high = fisher(r, len(x))
    if (values := resampled[~np.isnan(resampled)]).size:
        tail = 100 * (1 - LEVEL) / 2
        low, high = min(low, np.percentile(values, tail)), max(high, np.percentile(values, 100 - tail))
    return r, float(low), float(high)


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x, y [..., n] -> correlations [...] of their ranks along n, NaN where x or y is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(z, axis=-1) - (z.shape[-1] + 1) / 2 for z in (x, y))
    with np.errstate(invalid="ignore"):  # 0 / 0
        r = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.asarray(np.clip(r, -1.0, 1.0))


def _resamples(datasets: Sequence[str]) -> Iterator[np.ndarray]:
    """Indices drawn with replacement: conditions, or whole datasets where there are at least LEAST. Always the same."""
    labels = np.asarray(datasets)
    names = np.unique(labels)
    every = [np.flatnonzero(labels == name) for name in names]
    units = every if len(names) >= LEAST else [np.array([i]) for i in range(len(labels))]
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        yield np.concatenate([units[u] for u in rng.integers(0, len(units), len(units))])


def fisher(r: float, n: int) -> tuple[float, float]:
    """Bonett and Wright's interval for Spearman's r of n > 3 independent pairs.

    A perfect order is taken for one with a single exchange of neighbours: z would be infinite.
    """
    from scipy.special import ndtri

    most = 1 - 12 / (n * (n**2 - 1))
    inner = min(most, max(-most, r))
    half = float(ndtri((1 + LEVEL) / 2)) * sqrt((1 + inner**2 / 2) / (n - 3))
    return min(r, tanh(atanh(inner) - half)), max(r, tanh(atanh(inner) + half))

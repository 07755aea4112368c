"""Do new results belong to a reference distribution? Two-sample t tests, corrected for how many there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.core.metrics import Metric
from bench.execution.verification.reference import Distribution, Key, Reference
from reports.analysis.stats import holm

LEVEL = 0.05
"""Of a false alarm anywhere in the table, two-sided: results that are too good are as suspicious."""

ROUNDING = {Metric.TEST_ACCURACY: 1 / math.sqrt(12) / 500, Metric.TEST_NLL: 1e-4}
"""Least standard deviations: seeds that happen to agree, to an image of 500, are not a spread of zero."""


@dataclass(frozen=True)
class Compared:
    """One line of the table. p: Holm's, two-sided; 0 where runs have given no result."""

    key: Key
    reference: Distribution
    here: Distribution | None
    p: float

    @property
    def belongs(self) -> bool:
        return self.p > LEVEL


def compare(reference: Reference, found: Mapping[Key, Sequence[float]]) -> list[Compared]:
    """A line per distribution of the reference, in its order. What lacks a result does not belong."""
    lines = []
    for key, known in reference.values.items():
        values = found.get(key, ())
        here = Distribution.of(values) if len(values) > 1 else None
        lines.append(Compared(key, known, here, p_value(known, here, key[2]) if here else 0.0))
    adjusted = holm([line.p for line in lines])
    return [replace(line, p=p) for line, p in zip(lines, adjusted, strict=True)]


def p_value(a: Distribution, b: Distribution, metric: str) -> float:
    """Student's t test of equal means with the pooled variance: that of one distribution is what is claimed. Two-sided."""
    from scipy.special import stdtr

    df = a.n + b.n - 2
    pooled = math.sqrt(((a.n - 1) * a.sd**2 + (b.n - 1) * b.sd**2) / df)
    error = max(pooled, ROUNDING.get(metric, 0.0)) * math.sqrt(1 / a.n + 1 / b.n)
    return float(2 * stdtr(df, -abs(a.mean - b.mean) / error))

"""A straight line through few points, with the interval of its slope and of the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.analysis.stats import t_quantile

LEAST = 4
"""Points: with three, one degree of freedom is left, and the interval of the slope has 12.7 standard errors."""


@dataclass(frozen=True)
class Line:
    """Least squares, y = intercept + slope x. low, high: 95 % Student-t interval of the slope; n: points."""

    n: int
    intercept: float
    slope: float
    low: float
    high: float
    center: float
    spread: float  # sqrt of the sum of squared x around `center`
    sd: float  # of the residuals

    @property
    def shown(self) -> bool:
        """Whether the slope's interval excludes zero."""
        return self.low > 0 or self.high < 0

    def at(self, x: float) -> tuple[float, float]:
        """The line at x, and half of its 95 % interval."""
        se = self.sd * math.sqrt(1 / self.n + ((x - self.center) / self.spread) ** 2)
        return self.intercept + self.slope * x, t_quantile(self.n - 2, 0.975) * se

    @property
    def crosses(self) -> float:
        """Where it is zero; nan for a flat line."""
        return -self.intercept / self.slope if self.slope else math.nan


def fit(xs: Sequence[float], ys: Sequence[float]) -> Line | None:
    """None with fewer than four points, or all at one x."""
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    center = float(x.mean()) if len(x) else 0.0
    spread = float(np.sqrt(((x - center) ** 2).sum()))
    if len(x) < LEAST or spread == 0:
        return None
    slope = float(((x - center) * y).sum() / spread**2)
    intercept = float(y.mean() - slope * center)
    sd = float(np.sqrt(((y - intercept - slope * x) ** 2).sum() / (len(x) - 2)))
    half = t_quantile(len(x) - 2, 0.975) * sd / spread
    return Line(len(x), intercept, slope, slope - half, slope + half, center, spread, sd)

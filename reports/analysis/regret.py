"""Bounds on the regret: the accuracy lost by following the rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.analysis.stats import Comparison


def regret_bounds(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """Bounds on max(0, max_j delta_j), the true regret: the accuracy lost by following the rule. nan: unknown.

    Upper: the largest own_high_j. For it to be too low, the bound of the truly best alternative has to be too low, which
    has the chance of the level. Lower: the largest low_j, and as low_j <= delta_j for all j at once, that too fails no
    more often. So supported means an upper bound below the margin, contradicted a lower bound above 0. An interval for
    the one that came out best alone would be neither: it is picked for its luck, and another may be better.
    """
    known = [c for c in comparisons if c.known]
    if not known:
        return math.nan, math.nan
    # of an alternative that is not known own_high is infinite: it may be better by anything
    low, high = max(c.low for c in known), max(c.own_high for c in comparisons)
    # two seeds give intervals of thousands of points; accuracies are fractions
    return max(0.0, low), min(1.0, max(0.0, high))

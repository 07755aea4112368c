"""How many more seeds would settle an undecided cell, if means and spread stayed as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.analysis.stats import ALPHA, Comparison, t_quantile

MOST = 1000
"""Units beyond which a study is out of reach; the answer is then None."""
CHANCE = 0.8
"""With which the seeds named suffice: the usual convention (Cohen, 1988)."""


def seeds_to_settle(comparisons: Sequence[Comparison], margin: float) -> int | None:
    """Seeds per dataset, beyond those there are, for a verdict; None: out of reach, or unknown.

    If an alternative's mean is above the margin, its lower bound has to pass 0 (one such is enough); if none
    is, every upper bound has to fall below the margin. A rough guide: means and spread are themselves estimates.
    """
    known = [c for c in comparisons if c.known]
    if not known:
        return None
    ahead = [_units(c, c.mean, ALPHA / len(comparisons)) for c in known if c.mean > margin]
    if not ahead and len(known) < len(comparisons):
        return None
    needed = min(ahead) if ahead else max(_units(c, margin - c.mean, ALPHA) for c in known)
    if needed > MOST:
        return None
    sets = max(c.datasets for c in known)
    return max(1, math.ceil(needed / sets) - max(c.n for c in known) // sets)


def _units(comparison: Comparison, room: float, alpha: float) -> float:
    """The smallest n whose bound passes over `room` with a chance of `CHANCE`; infinite above `MOST`."""
    sd = comparison.se * math.sqrt(comparison.n)
    fits = (
        n
        for n in range(2, MOST + 1)
        if (t_quantile(n - 1, 1 - alpha) + t_quantile(n - 1, CHANCE)) * sd < room * math.sqrt(n)
    )
    return next(fits, math.inf)

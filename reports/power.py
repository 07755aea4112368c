"""How many blocks would settle an undecided cell, if means and spread stayed as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.stats import LEVEL, Comparison, t_quantile

MOST = 1000
"""Blocks beyond which a study is out of reach; the answer is then None."""


def blocks_to_settle(comparisons: Sequence[Comparison], margin: float, level: float = LEVEL) -> int | None:
    """Blocks with which the verdict would be supported or contradicted; None: above `MOST`, or unknown.

    If an alternative's mean is above the margin, its lower bound has to pass 0 (one such is enough); if none
    is, every upper bound has to fall below the margin. A rough guide: the spread is itself an estimate.
    """
    known = [c for c in comparisons if c.n >= 2]
    if not known or len(known) < len(comparisons):
        return None
    each = 1 - (1 - level) / len(comparisons)
    ahead = [_needed(c, c.mean, each) for c in known if c.mean > margin]
    needed = min(ahead) if ahead else max(_needed(c, margin - c.mean, each) for c in known)
    return int(needed) if needed <= MOST else None


def _needed(comparison: Comparison, room: float, level: float) -> float:
    """The smallest n whose half-width is below `room`; infinite above `MOST`."""
    sd = comparison.se * math.sqrt(comparison.n)
    fits = (n for n in range(2, MOST + 1) if t_quantile(n - 1, (1 + level) / 2) * sd < room * math.sqrt(n))
    return next(fits, math.inf)

"""How many more seeds would settle an undecided cell, if means and spread stayed as they are, and what that would cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.analysis.levels import error_rate, left, levels
from reports.analysis.looks import Looks
from reports.analysis.stats import ALPHA, Comparison, t_quantile

MOST = 1000
"""Seeds beyond which a study is out of reach; the answer is then None."""
CHANCE = 0.8
"""With which the seeds named suffice: the usual convention (Cohen, 1988)."""


@dataclass(frozen=True)
class Further:
    """What would settle a cell.

    Attributes:
        seeds: In all, per dataset; None: out of reach, or unknown.
        planned: Whether they are the study's own next looks, which keep the error rate; else all of it is used up.
        error_rate: Of either verdict once they are looked at, at most.
    """

    seeds: int | None
    planned: bool
    error_rate: float


def further(looks: Looks, to_come: Sequence[int], margin: float) -> Further:
    """For an undecided cell. to_come: seeds of the study's further looks."""
    seen = looks.taken[-1].seeds if looks.taken else 0
    comparisons = [c for c in looks.cell.comparisons if c.strategy not in looks.dropped]
    alternatives = len(looks.cell.comparisons)
    if to_come:
        each = zip(to_come, levels(to_come, seen, left(looks.spent)), strict=True)
        enough = (n for n, level in each if needed(comparisons, margin, level, alternatives) <= n)
        return Further(next(enough, None), True, error_rate(looks.spent + left(looks.spent)))
    least = needed(comparisons, margin, ALPHA, alternatives)
    seeds = None if least > MOST else max(seen + 1, math.ceil(least))
    return Further(seeds, False, error_rate(looks.spent + ALPHA))


def needed(comparisons: Sequence[Comparison], margin: float, level: float, alternatives: int) -> float:
    """Seeds after which a look at this level gives a verdict; infinite: out of reach, or unknown.

    If an alternative's mean is above the margin, its lower bound has to pass 0 (one such is enough); if none
    is, every upper bound has to fall below the margin. A rough guide: means and spread are themselves estimates.

    Args:
        comparisons: Of the alternatives that are not dropped.
        alternatives: How many the cell has in all.
    """
    known = [c for c in comparisons if c.known]
    ahead = [_seeds(c, c.mean, level / alternatives) for c in known if c.mean > margin]
    if not known or (not ahead and len(known) < len(comparisons)):
        return math.inf
    return min(ahead) if ahead else max(_seeds(c, margin - c.mean, level) for c in known)


def _seeds(comparison: Comparison, room: float, alpha: float) -> float:
    """The smallest n whose bound passes over `room` with a chance of `CHANCE`; infinite above `MOST`."""
    sd = comparison.se * math.sqrt(comparison.n)
    fits = (
        n
        for n in range(2, MOST + 1)
        if (t_quantile(n - 1, 1 - alpha) + t_quantile(n - 1, CHANCE)) * sd < room * math.sqrt(n)
    )
    return next(fits, math.inf)

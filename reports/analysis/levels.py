"""How the error rate of verdicts is spread over looks.

A verdict may be wrong in at most `ALPHA` of cells, however often it is looked at, if the levels of all looks add up to
`ALPHA`: the chance that any of several tests errs is at most the sum of theirs (Bonferroni), whatever they have in
common. Looks at n_1 < ... < n_K seeds use up ALPHA (n_i / n_K)^2 in all (Kim and DeMets, Biometrika 1987, with a power
of 2): little at first, when a difference has to be large to be seen at all, and most at the end.

The levels have to be fixed before anything is seen. So n_K is the largest number of seeds that was ever planned: a study
that is cut short because of what a look showed does not get the level of the looks that are left out.

Once all is used up, a further look begins another round with another `ALPHA`, and verdicts are wrong in up to twice as
many cells: `error_rate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.records.looks import LookRecord
from reports.analysis.stats import ALPHA

POWER = 2
TINY = 1e-9
"""Sums of levels are floats: differences below are none."""


def level(seeds: int, last: int, before: Sequence[LookRecord], planned: int = 0) -> float:
    """The one-sided level of a look; not above 0 where earlier looks have used up more than is due by then.

    Args:
        seeds: Of this look.
        last: Of the last look that is planned now.
        before: All earlier looks at the cell.
        planned: Seeds that were planned when estimates were shown first.
    """
    start, used, of = _round(before)
    end = max(last, planned, of)
    if end <= start:
        return ALPHA - used
    share: float = (seeds**POWER - start**POWER) / (end**POWER - start**POWER)
    return ALPHA * min(1.0, share) - used


def _round(before: Sequence[LookRecord]) -> tuple[int, float, int]:
    """Of the present round: the seeds at which the one before ended, the level used up, and the seeds planned."""
    start, used, of = 0, 0.0, 0
    for record in sorted(before, key=lambda r: (r.when or "9", len(r.seeds))):
        used, of = used + record.level, max(of, record.planned)
        if used > ALPHA - TINY:
            start, used, of = max(start, len(record.seeds)), 0.0, 0
    return start, used, of


def left(before: Sequence[LookRecord]) -> float:
    """What the looks to come may use up: what the present round has left."""
    return ALPHA - _round(before)[1]


def error_rate(spent: float) -> float:
    """The share of cells in which either verdict may be wrong, after looks whose levels sum to `spent`: a multiple of
    `ALPHA`.
    """
    return ALPHA * max(1, round(spent / ALPHA + 0.5 - TINY))

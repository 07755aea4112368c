"""How the error rate of verdicts is spread over looks.

A verdict may be wrong in at most `ALPHA` of cells, however often it is looked at, if the levels of all looks add up to
`ALPHA`: the chance that any of several tests errs is at most the sum of theirs (Bonferroni), whatever they have in
common. Looks at n_1 < ... < n_K seeds use up ALPHA (n_i / n_K)^2 in all (Kim and DeMets, Biometrika 1987, with a power
of 2): little at first, when a difference has to be large to be seen at all, and most at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from reports.analysis.stats import ALPHA

POWER = 2


def levels(looks: Sequence[int], after: int = 0, left: float = ALPHA) -> list[float]:
    """One-sided levels of looks at so many seeds each; they sum to `left`.

    Args:
        looks: Increasing.
        after: Seeds at the look before the first of these, 0 if there was none.
        left: What earlier looks have not used up.
    """
    shares = [n**POWER - before**POWER for before, n in pairwise([after, *looks])]
    return [left * share / sum(shares) for share in shares]


def left(spent: float) -> float:
    """What is to be spread over further looks: what is left of `ALPHA`, or once more `ALPHA` where all is used up.

    The latter is a study that was extended beyond its planned end: its verdicts are wrong more often, at most in
    `error_rate`.
    """
    unused = spent % ALPHA
    return ALPHA - unused if TINY < unused < ALPHA - TINY else ALPHA


def error_rate(spent: float) -> float:
    """The share of cells in which either verdict may be wrong, after looks whose levels sum to `spent`: a multiple of
    `ALPHA`.
    """
    times = spent / ALPHA
    return ALPHA * max(1, round(times) if abs(times - round(times)) < TINY / ALPHA else -int(-times // 1))


TINY = 1e-9  # sums of levels are floats

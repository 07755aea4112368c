"""Two single networks on the same test images: McNemar's test, exact, with mid-p.

It speaks of these two networks, not of the strategies that made them: another seed may turn it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from bench.core.errors import UserError
from bench.core.records.predictions import Predictions


@dataclass(frozen=True)
class McNemar:
    """first, second: images that it alone has right. p: two-sided, of "either is as likely"."""

    first: int
    second: int
    p: float


def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """Of two runs. Raises `UserError` where they are of different test sets."""
    if first.test_set != second.test_set or len(first) != len(second):
        raise UserError("predictions of different test sets cannot be paired")
    return of_right(first.right, second.right)


def of_right(first: np.ndarray, second: np.ndarray) -> McNemar:
    """first, second: [N] bool.

    The mid-p value of Fagerland, Lydersen and Laake (BMC Medical Research Methodology, 2013) counts half of the probability
    of what was observed: the exact test without is too cautious.
    """
    one, other = int((first & ~second).sum()), int((second & ~first).sum())
    n, least = one + other, min(one, other)
    if not n:
        return McNemar(0, 0, 1.0)
    below = float(bdtr(least - 1, n, 0.5)) if least else 0.0
    return McNemar(one, other, min(1.0, below + float(bdtr(least, n, 0.5))))

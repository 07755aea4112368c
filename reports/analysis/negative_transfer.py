"""Which strategies are worse than training from scratch."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.stats import ALPHA, Comparison, compare
from reports.analysis.units import Units


def worse_than(
    cell: Units, scratch: str | None, strategies: Sequence[str], level: float = ALPHA
) -> list[Comparison]:
    """Strategies that are worse than scratch: simultaneous upper bound of (strategy - scratch) below 0."""
    if scratch is None or scratch not in strategies:
        return []
    others = [s for s in strategies if s != scratch]
    return sorted((c for c in compare(cell, scratch, others, level) if c.high < 0), key=lambda c: c.mean)

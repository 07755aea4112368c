"""The range of a cell's forest plot."""

from __future__ import annotations

from reports.analysis.verdict import Cell


def limits(cell: Cell, margin: float) -> tuple[float, float]:
    """x-range of the cell's forest plot: where alternatives come near the rule's pick or pass it.

    An alternative far below would squeeze the others, and two seeds give intervals 100 times wider than the
    differences: both are cut, and drawn as arrows.
    """
    known = [c for c in cell.comparisons if c.known]
    top = max([c.mean for c in known], default=0.0)
    reach = max(10 * margin, 2 * abs(top))
    low = max(min([c.own_low for c in known], default=-reach), min(0.0, top) - reach)
    high = min(max([c.own_high for c in known], default=reach), max(0.0, top) + reach)
    low, high = min(low, -1.5 * margin), max(high, 1.5 * margin)
    pad = 0.06 * (high - low)
    return low - pad, high + pad

"""Which of many strategies figures tell apart."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.rows import Row
from reports.analysis.verdict import Cell

MOST = 12
"""So many strategies can be told apart in one figure."""


def strategy_order(rows: Sequence[Row]) -> list[str]:
    """Labels as the plan has them: colours and markers follow this order in all figures."""
    return list(dict.fromkeys(row["strategy"] for row in rows))


def shown(rows: Sequence[Row], cells: Sequence[Cell], baseline: str | None) -> list[str]:
    """The strategies that figures tell apart, in the plan's order.

    All, or of many the rule's picks, the baseline and the best of each cell, in turn, until there are MOST.
    """
    order = strategy_order(rows)
    if len(order) <= MOST:
        return order
    chosen = list(dict.fromkeys(s for s in [*(cell.rule for cell in cells), baseline] if s in order))
    best = [sorted(cell.strategies, key=lambda s: -_mean(cell, s)) for cell in cells]
    for place in range(len(order)):
        for found in best:
            if len(chosen) < MOST and place < len(found) and found[place] not in chosen:
                chosen.append(found[place])
    return [name for name in order if name in chosen]


def _mean(cell: Cell, strategy: str) -> float:
    mean = cell.means[strategy]
    return mean.mean if mean.n else -1.0

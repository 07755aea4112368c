"""Runs no better than always saying the largest class, by strategy. They are results, and count like any other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bench.core.collapse import NOT_COLLAPSED
from reports.analysis.rows import Row, finished


@dataclass(frozen=True)
class Collapsed:
    """A strategy over its finished runs of which it is known.

    Attributes:
        runs: How many these are.
        test: Those not above the largest class on the test images.
        training_only: Those above it there, and not on the training images.
        by_cell: Collapsed runs, and runs, of each cell with any that collapsed.
    """

    strategy: str
    runs: int
    test: int
    training_only: int
    by_cell: dict[str, tuple[int, int]]

    @property
    def collapsed(self) -> int:
        return self.test + self.training_only


def collapsed(rows: Iterable[Row]) -> list[Collapsed]:
    """The strategies with such runs, the largest share first. Reads nothing but the rows."""
    by_strategy: dict[str, list[Row]] = defaultdict(list)
    for row in finished(rows):
        if row.get("collapsed") is not None:
            by_strategy[row["strategy"]].append(row)
    found = [_count(strategy, own) for strategy, own in by_strategy.items()]
    return sorted((c for c in found if c.collapsed), key=lambda c: (-c.collapsed / c.runs, c.strategy))


def known(rows: Iterable[Row]) -> bool:
    """Whether it is known of any finished run: not so of runs of earlier versions alone."""
    return any(row.get("collapsed") is not None for row in finished(rows))


def _count(strategy: str, rows: list[Row]) -> Collapsed:
    where = [str(row["collapsed"]) for row in rows]
    by_cell: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        by_cell[row["cell"]].append(row["collapsed"] != NOT_COLLAPSED)
    test = sum("test" in one for one in where)
    counts = {cell: (sum(each), len(each)) for cell, each in by_cell.items() if any(each)}
    return Collapsed(strategy, len(rows), test, sum(one == "training" for one in where), counts)

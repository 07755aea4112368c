"""Is fine-tuning at least as good as the network was before? Runs that fell below the unchanged network, by strategy.

The unchanged network is judged by nearest class mean on its features, on each run's own training and test images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import Metric
from reports.analysis.rows import Row, accuracy_of, finished, known

EQUAL = 1e-6
"""Accuracies nearer than this are equal: they are rounded to 32 bits."""


@dataclass(frozen=True)
class Fall:
    """A strategy over its finished runs of which both scores are known. before, after: mean test accuracies.

    by_cell: (runs below, runs) of each cell in which it has any.
    """

    strategy: str
    runs: int
    below: int
    before: float
    after: float
    by_cell: dict[str, tuple[int, int]]


def falls(rows: Sequence[Row]) -> list[Fall]:
    """Per strategy, the largest share of runs that fell below first."""
    by_strategy: dict[str, list[Row]] = defaultdict(list)
    for row in finished(rows):
        if row[Metric.NCM_TEST_ACCURACY] is not None:
            by_strategy[row["strategy"]].append(row)
    found = [_fall(strategy, own) for strategy, own in by_strategy.items()]
    return sorted(found, key=lambda fall: -fall.below / fall.runs)


def _fall(strategy: str, rows: Sequence[Row]) -> Fall:
    by_cell: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        by_cell[row["cell"]].append(accuracy_of(row) < (row[Metric.NCM_TEST_ACCURACY] or 0.0) - EQUAL)
    return Fall(
        strategy,
        len(rows),
        sum(map(sum, by_cell.values())),
        fmean(known(rows, Metric.NCM_TEST_ACCURACY)),
        fmean(accuracy_of(row) for row in rows),
        {cell: (sum(below), len(below)) for cell, below in by_cell.items()},
    )

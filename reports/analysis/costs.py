"""What strategies cost: means over finished runs, and which of them are worth their price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import CELLS, Metric, Status
from reports.analysis.rows import Row, accuracy_of, finished, known, metric
from reports.analysis.verdict import Cell


@dataclass(frozen=True)
class Cost:
    """Means of one strategy in one cell: what was spent (seconds of training, or bytes) and test accuracy."""

    strategy: str
    spent: float
    accuracy: float
    n: int


def costs(rows: Sequence[Row], cell: Cell, key: str = Metric.TRAIN_SECONDS) -> list[Cost]:
    """One point per strategy of the cell, over its finished runs of which metric `key` is known."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in finished(rows):
        if row["cell"] == cell.name and (metric(row, key) or 0) > 0:
            groups[row["strategy"]].append(row)
    return [
        Cost(
            strategy,
            fmean(known(found, key)),
            fmean(accuracy_of(row) for row in found),
            len(found),
        )
        for strategy, found in groups.items()
    ]


def pareto_front(found: Sequence[Cost]) -> list[Cost]:
    """The strategies that no other beats in both cost and accuracy, cheapest first."""
    kept: list[Cost] = []
    for cost in sorted(found, key=lambda cost: (cost.spent, -cost.accuracy)):
        if not kept or cost.accuracy > kept[-1].accuracy:
            kept.append(cost)
    return kept


def by_strategy(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """(cell, strategy, its finished runs), cells in the matrix' order; what is not measured yet comes last."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == Status.FINISHED:
            groups[row["cell"], row["strategy"]].append(row)
    place = {name: i for i, name in enumerate(CELLS)}
    order = sorted(groups.items(), key=lambda group: place.get(group[0][0], len(CELLS)))
    return [(cell, strategy, found) for (cell, strategy), found in order]


def mean_metric(rows: Sequence[Row], key: str) -> float | None:
    """Mean of a metric over the rows that have it; None if none has."""
    values = known(rows, key)
    return fmean(values) if values else None

"""The numbers that figures show, computed apart from drawing. No matplotlib here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import Metric, Status
from reports.records import Row
from reports.stats import Mean, mean_of
from reports.verdict import Cell


@dataclass(frozen=True)
class Curve:
    """Accuracy of one strategy in one panel, over images per class."""

    strategy: str
    n_per_class: list[int]
    means: list[Mean]


@dataclass(frozen=True)
class Panel:
    dataset: str
    backbone: str | None  # None: the study has only one
    curves: list[Curve]


@dataclass(frozen=True)
class Cost:
    """Means of one strategy in one cell: what was spent (seconds of training, or bytes) and test accuracy."""

    strategy: str
    spent: float
    accuracy: float
    n: int


def finished(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None]


def strategy_order(rows: Sequence[Row]) -> list[str]:
    """Labels as the plan has them: colours and markers follow this order in all figures."""
    return list(dict.fromkeys(row["strategy"] for row in rows))


MOST = 12
"""So many strategies can be told apart in one figure."""


def drawn(rows: Sequence[Row], cells: Sequence[Cell], baseline: str | None) -> list[str]:
    """The strategies that figures tell apart, in the plan's order: all, or of many the rule's picks, the baseline and
    the best of each cell, in turn, until there are MOST.
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


def panels(rows: Sequence[Row]) -> list[Panel]:
    """One panel per dataset and backbone that have results."""
    several = len({row["backbone"] for row in rows}) > 1
    groups: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in finished(rows):
        groups[row["dataset"], row["backbone"] if several else None].append(row)
    return [Panel(dataset, backbone, _curves(found)) for (dataset, backbone), found in groups.items()]


def _curves(rows: Sequence[Row]) -> list[Curve]:
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        values[row["strategy"]][row["n_per_class"]].append(row[Metric.TEST_ACCURACY])
    return [
        Curve(strategy, sorted(by_n), [mean_of(by_n[n]) for n in sorted(by_n)])
        for strategy, by_n in values.items()
    ]


def costs(rows: Sequence[Row], cell: Cell, metric: str = Metric.TRAIN_SECONDS) -> list[Cost]:
    """One point per strategy of the cell, over its finished runs of which `metric` is known."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in finished(rows):
        if row["cell"] == cell.name and (row[metric] or 0) > 0:
            groups[row["strategy"]].append(row)
    return [
        Cost(
            strategy,
            fmean(row[metric] for row in found),
            fmean(row[Metric.TEST_ACCURACY] for row in found),
            len(found),
        )
        for strategy, found in groups.items()
    ]


def frontier(found: Sequence[Cost]) -> list[Cost]:
    """The strategies that no other beats in both cost and accuracy, cheapest first."""
    kept: list[Cost] = []
    for cost in sorted(found, key=lambda cost: (cost.spent, -cost.accuracy)):
        if not kept or cost.accuracy > kept[-1].accuracy:
            kept.append(cost)
    return kept


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

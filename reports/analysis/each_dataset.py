"""The datasets of a cell one by one: their average may hide that they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

from reports.analysis.rows import Row
from reports.analysis.units import Units, pairs, units
from reports.analysis.verdict import Cell, Verdict, judge_cell


@dataclass(frozen=True)
class Spread:
    """How much an alternative's gain over the rule's pick differs between the datasets of a cell.

    Attributes:
        low, high: Smallest and largest mean of a dataset, fractions.
        sd: Of the true means between datasets: their spread less what seeds explain (method of moments).
        p: Of "all are equal": Alexander and Govern's test, which allows unequal variances; nan where it is not defined.
    """

    strategy: str
    low: float
    high: float
    sd: float
    p: float


@dataclass(frozen=True)
class Apart:
    """One cell of several datasets: each judged by itself at the cell's level, and the spread of the best alternative."""

    name: str
    cells: dict[str, Cell]
    spread: Spread | None


def apart(rows: Sequence[Row], cell: Cell, margin: float) -> Apart | None:
    """Of the rows that the cell was judged on; None of a cell of one dataset."""
    if len(cell.measured) < 2:
        return None
    own = {name: [row for row in rows if row["dataset"] == name] for name in cell.measured}
    judged = {name: _judge(found, cell, margin) for name, found in own.items()}
    return Apart(cell.name, judged, _spread(units(rows), cell))


def _judge(rows: Sequence[Row], cell: Cell, margin: float) -> Cell:
    found = judge_cell(cell.name, rows, cell.rule, margin, None, cell.level)
    given = cell.verdict != Verdict.PROVISIONAL or found.verdict == Verdict.UNTESTED
    return found if given else replace(found, verdict=Verdict.PROVISIONAL)


def _spread(found: Units, cell: Cell) -> Spread | None:
    """Of the alternative that is ahead, or comes nearest to the rule's pick."""
    known = [c for c in cell.comparisons if c.known]
    if not known or cell.rule is None:
        return None
    top = max(known, key=lambda c: c.mean)
    by_dataset: dict[str, list[float]] = {}
    for (dataset, _), (own, other) in pairs(found, top.strategy, cell.rule).items():
        by_dataset.setdefault(dataset, []).append(own - other)
    if any(len(values) < 2 for values in by_dataset.values()):
        return None
    means = [fmean(values) for values in by_dataset.values()]
    noise = fmean(variance(values) / len(values) for values in by_dataset.values())
    sd = max(0.0, variance(means) - noise) ** 0.5
    return Spread(top.strategy, min(means), max(means), sd, _p(list(by_dataset.values())))


def _p(groups: Sequence[Sequence[float]]) -> float:
    from scipy.stats import alexandergovern

    if any(len(set(values)) < 2 for values in groups):  # its test statistic divides by each variance
        return float("nan")
    return float(alexandergovern(*groups).pvalue)

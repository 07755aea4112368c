"""Is fine-tuning at least as good as the network was before? Runs that fell below the unchanged network, by strategy.

The unchanged network is judged by nearest class mean on its features, on each run's own training and test images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import CELLS, Metric, Status
from reports.records import Row
from reports.text import NONE, code, listed, percent, plural, points, table
from reports.words import cell_title

NAMED = 8
"""Strategies that the sentence names; the table has all."""

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
    for row in _finished(rows):
        if row[Metric.NCM_TEST_ACCURACY] is not None:
            by_strategy[row["strategy"]].append(row)
    found = [_fall(strategy, own) for strategy, own in by_strategy.items()]
    return sorted(found, key=lambda fall: -fall.below / fall.runs)


def _finished(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None]


def _fall(strategy: str, rows: Sequence[Row]) -> Fall:
    by_cell: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        by_cell[row["cell"]].append(row[Metric.TEST_ACCURACY] < row[Metric.NCM_TEST_ACCURACY] - EQUAL)
    return Fall(
        strategy,
        len(rows),
        sum(map(sum, by_cell.values())),
        fmean(row[Metric.NCM_TEST_ACCURACY] for row in rows),
        fmean(row[Metric.TEST_ACCURACY] for row in rows),
        {cell: (sum(below), len(below)) for cell, below in by_cell.items()},
    )


def section(rows: Sequence[Row]) -> dict[str, str] | None:
    """`answer`, `table` (may be empty) and `missing` (may be empty) for the report; None where no run has finished."""
    finished = _finished(rows)
    if not finished:
        return None
    found = falls(rows)
    unknown = len(finished) - sum(fall.runs for fall in found)
    missing = (
        f"Left out: {unknown} of {plural(len(finished), 'finished run')}, stored without the score of the unchanged "
        "network (by an earlier version, or because it did not fit into memory)."
        if unknown
        else ""
    )
    if not found:
        why = "It cannot be told: no stored run has the score of the unchanged network."
        return {"answer": why, "table": "", "missing": ""}
    return {"answer": _answer(found), "table": _table(found), "missing": missing}


def _answer(found: Sequence[Fall]) -> str:
    fell = [fall for fall in found if fall.below]
    if not fell:
        runs = plural(sum(fall.runs for fall in found), "run")
        return f"No strategy fell below the unchanged network in any of {runs}."
    named = [f"{code(fall.strategy)} in {fall.below} of {plural(fall.runs, 'run')}" for fall in fell[:NAMED]]
    more = [f"{len(fell) - NAMED} more strategies (see the table)"] if len(fell) > NAMED else []
    kept = len(found) - len(fell)
    never = f" {plural(kept, 'strategy').replace('strategys', 'strategies')} never did." if kept else ""
    return f"Fell below the unchanged network: {listed([*named, *more])}.{never}"


def _table(found: Sequence[Fall]) -> str:
    cells = [cell for cell in CELLS if any(cell in fall.by_cell for fall in found)]
    header = ["strategy", "unchanged", "fine-tuned", "difference", "fell below", *map(cell_title, cells)]
    return table(header, [_line(fall, cells) for fall in found])


def _line(fall: Fall, cells: Sequence[str]) -> list[str]:
    return [
        code(fall.strategy),
        percent(fall.before),
        percent(fall.after),
        points(fall.after - fall.before, sign=True),
        _of(fall.below, fall.runs),
        *(_of(*fall.by_cell[cell]) if cell in fall.by_cell else NONE for cell in cells),
    ]


def _of(below: int, runs: int) -> str:
    return f"{below} of {runs}"

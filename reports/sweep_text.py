"""The section on a hyperparameter along which a study has several strategies, as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean
from typing import Any

from reports.ranking import Ranked
from reports.records import Row
from reports.sweep import Line, Point, Sweep, against_first, along, sweep
from reports.text import NONE, code, interval, listed, percent, points, quantity, table
from reports.words import cell_title


@dataclass(frozen=True)
class Section:
    """panels: cell -> composition -> points. others: hyperparameters that differ besides, in words; '' where none does."""

    sweep: Sweep
    panels: dict[str, dict[str, list[Point]]]
    table: str
    others: str


def section(document: dict[str, Any], rows: Sequence[Row], cells: Sequence[str]) -> Section | None:
    """None where no composition is in the study with three values of a hyperparameter, or nothing has finished."""
    found = sweep(document)
    if found is None:
        return None
    panels = {cell: {line.composition: along(line, cell, rows) for line in found.lines} for cell in cells}
    lines = [entry for line in found.lines for entry in _lines(line, document, rows, cells, panels)]
    if not lines:
        return None
    header = [
        "strategies",
        found.hyperparameter,
        "accuracy",
        "minus the first",
        "95 %",
        *map(cell_title, cells),
    ]
    shown = table([*header, "time", "peak memory"], lines)
    others = listed(sorted({code(name) for line in found.lines for name in line.others}))
    return Section(found, panels, shown, others)


def _lines(
    line: Line,
    document: dict[str, Any],
    rows: Sequence[Row],
    cells: Sequence[str],
    panels: dict[str, dict[str, list[Point]]],
) -> list[list[str]]:
    found = against_first(line, document, rows)
    return [
        [
            code(line.composition),
            f"{value:g}",
            percent(one.accuracy),
            points(one.interval.mean, sign=True),
            _interval(one) if i else NONE,
            *(points(one.by_cell[cell], sign=True) if cell in one.by_cell else NONE for cell in cells),
            NONE if one.time is None else f"{one.time:.2f} ×",
            _memory(line, value, panels),
        ]
        for i, (value, one) in enumerate(found)
    ]


def _interval(one: Ranked) -> str:
    low, high = one.interval.low, one.interval.high
    return NONE if isnan(low) else interval(low, high, sign=True)


def _memory(line: Line, value: float, panels: dict[str, dict[str, list[Point]]]) -> str:
    known = [
        point.memory
        for lines in panels.values()
        for point in lines[line.composition]
        if point.value == value and point.memory is not None
    ]
    return quantity(fmean(known), "B", 1024) if known else NONE

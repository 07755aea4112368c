"""The effect of one hyperparameter, where strategies differ in it alone."""

from __future__ import annotations

from functools import partial
from math import isnan
from statistics import fmean

from reports.analysis.effect import Effect, Point, Series, against_first, along, effect
from reports.analysis.ranking import Ranked
from reports.analysis.study import Analysis
from reports.figures.effect import Panels
from reports.figures.effect import effect as figure
from reports.render.blocks import Block, Caption, Figure, Heading, Table
from reports.render.text import NONE, code, escape, interval, listed, percent, points, quantity, when
from reports.render.words import cell_title, selection


def section(study: Analysis) -> list[Block]:
    """Where some composition is in the study with three values of a hyperparameter, and has results."""
    found = effect(study.document)
    if found is None:
        return []
    panels = {
        cell.name: {series.composition: along(series, cell.name, study.rows) for series in found.series}
        for cell in study.cells
    }
    lines = [line for series in found.series for line in _lines(series, study, panels)]
    if not lines:
        return []
    alt = f"Accuracy, training time and peak memory over {escape(found.name)}"
    return [
        Heading(f"Effect of {code(found.name)}"),
        Figure("effect", alt, partial(figure, found, panels)),
        Table(_header(found, study), lines),
        Caption(_caption(found, study)),
    ]


def _caption(found: Effect, study: Analysis) -> str:
    others = listed(sorted({code(name) for series in found.series for name in series.others}))
    on_cpu = ", on CPU the process' peak resident size, interpreter and libraries included"
    return f"""
        Figure: means of each cell, accuracy with its standard error over pairs of dataset and seed. Table: each value
        minus the first of its series, paired, in percentage points, averaged over all conditions of the study, then over
        seeds, with 95 % Student-t intervals over seeds; the columns of the cells are mean differences. Time: training and
        preparation as a multiple of the first's. Peak memory: of the device that trains{when(study.on_cpu, on_cpu)};
        where what a frozen part makes of the images is computed for the first time, of 128 images of it at once, whatever
        the batch. {when(others, f"Not everything else is equal within a series: {others} differs too.")}
        {selection(study.document)}
    """


def _header(found: Effect, study: Analysis) -> list[str]:
    cells = [cell_title(cell.name) for cell in study.cells]
    first = ["strategies", found.hyperparameter, "accuracy", "minus the first", "95 %"]
    return [*first, *cells, "time", "peak memory"]


def _lines(series: Series, study: Analysis, panels: Panels) -> list[list[str]]:
    cells = [cell.name for cell in study.cells]
    return [
        [
            code(series.composition),
            f"{value:g}",
            percent(one.accuracy),
            points(one.interval.mean, sign=True),
            _interval(one) if i else NONE,
            *(points(one.by_cell[cell], sign=True) if cell in one.by_cell else NONE for cell in cells),
            NONE if one.time is None else f"{one.time:.2f} ×",
            _memory([point for by in panels.values() for point in by[series.composition]], value),
        ]
        for i, (value, one) in enumerate(against_first(series, study.rows))
    ]


def _interval(one: Ranked) -> str:
    low, high = one.interval.low, one.interval.high
    return NONE if isnan(low) else interval(low, high, sign=True)


def _memory(points: list[Point], value: float) -> str:
    known = [p.memory for p in points if p.value == value and p.memory is not None]
    return quantity(fmean(known), "B", 1024) if known else NONE

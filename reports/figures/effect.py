"""The effect of a hyperparameter on accuracy, training time and memory: a row of panels each, a column per cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.analysis.effect import Effect, Point
from reports.figures.style import Look, legend, looks, new_figure
from reports.render.text import seconds
from reports.render.words import cell_title

Panels = Mapping[str, Mapping[str, Sequence[Point]]]
"""cell -> composition -> points"""

LOG_FROM = 30
"""A hyperparameter whose largest value is so many times its smallest has a logarithmic axis."""


@dataclass(frozen=True)
class Quantity:
    """A row of panels."""

    label: str
    value: Callable[[Point], float | None]
    show: Callable[[float], str]


ROWS = [
    Quantity("test accuracy, %", lambda p: 100 * p.accuracy.mean, lambda value: f"{value:g}"),
    Quantity("training time", lambda p: p.seconds, lambda value: seconds(value) if value else "0"),
    Quantity("peak memory, GiB", lambda p: p.memory and p.memory / 2**30, lambda value: f"{value:g}"),
]


def effect(found: Effect, panels: Panels) -> Figure:
    """At least one panel has points. What was not logged has no row."""
    shown = {cell: lines for cell, lines in panels.items() if any(lines.values())}
    every = [point for lines in shown.values() for points in lines.values() for point in points]
    rows = [row for row in ROWS if any(row.value(point) is not None for point in every)]
    figure = new_figure(height=0.7 + 1.9 * len(rows) + 0.2 * len(found.series))
    grid = figure.subplots(len(rows), len(shown), squeeze=False, sharex=True, sharey="row")
    look = looks([series.composition for series in found.series])
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, lines in zip(axes_row, shown.values(), strict=True):
            for composition, points in lines.items():
                _line(axes, points, row, look[composition])
            axes.spines[["top", "right"]].set_visible(False)
        axes_row[0].set_ylabel(row.label)
        axes_row[0].yaxis.set_major_locator(MaxNLocator(4))
        axes_row[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _, show=row.show: show(value)))
        if row is not ROWS[0]:
            axes_row[0].set_ylim(bottom=0)
    for axes, cell in zip(grid[0], shown, strict=True):
        axes.set_title(cell_title(cell))
    for axes in grid[-1]:
        axes.set_xlabel(found.hyperparameter)
    _values(grid[0][0], sorted({point.value for point in every}))
    legend(figure, {name: one.line for name, one in look.items()})
    return figure


def _line(axes: Axes, points: Sequence[Point], row: Quantity, look: Look) -> None:
    known = [(p, value) for p in points if (value := row.value(p)) is not None]
    axes.plot([p.value for p, _ in known], [value for _, value in known], **look.line, linewidth=1.5)
    if row is ROWS[0]:
        half = [0.0 if isnan(p.accuracy.se) else 100 * p.accuracy.se for p, _ in known]
        axes.errorbar(
            [p.value for p, _ in known],
            [value for _, value in known],
            yerr=half,
            fmt="none",
            ecolor=look.color,
            elinewidth=1.1,
            capsize=2,
        )


def _values(axes: Axes, values: Sequence[float]) -> None:
    """Ticks at the values that the study has."""
    if values[0] > 0 and values[-1] >= LOG_FROM * values[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

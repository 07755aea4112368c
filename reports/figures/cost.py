"""What accuracy costs: seconds of training, or memory, against test accuracy, one panel per cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.analysis.costs import Cost, pareto_front
from reports.analysis.verdict import Cell
from reports.figures.style import FAINT, INK, Look, legend, looks, new_figure
from reports.render.text import quantity, seconds
from reports.render.words import cell_title

RING: dict[str, Any] = {
    "marker": "o",
    "linestyle": "none",
    "markersize": 15,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 1.3,
    "zorder": 2,
}

DOT = {"marker": ".", "linestyle": "none", "color": FAINT, "markersize": 6}


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis of costs. least: it spans at least this factor, so that it has two ticks."""

    label: str
    show: Callable[[float], str]
    base: int
    subs: tuple[float, ...]
    least: float


TIME = Scale("training time per run", seconds, 10, (1, 3), 10)
MEMORY = Scale("peak memory of the device", lambda value: quantity(value, "B", 1024), 2, (1,), 4)


def cost(shown: Sequence[tuple[Cell, list[Cost]]], strategies: Sequence[str], scale: Scale = TIME) -> Figure:
    """A panel per cell, which has costs. Ring: the rule's pick; line: the Pareto front.

    Strategies that are not among `strategies` are dots.
    """
    columns = min(2, len(shown))
    lines = ceil(len(shown) / columns)
    figure = new_figure(height=0.6 + 2.7 * lines + 0.2 * ceil(len(strategies) / 4))
    grid = figure.subplots(lines, columns, squeeze=False)
    look = looks(strategies)
    for axes, (cell, found) in zip(grid.flat, shown, strict=False):
        _panel(axes, cell, found, look, scale)
    for axes in list(grid.flat)[len(shown) :]:
        axes.axis("off")
    for line in grid:
        line[0].set_ylabel("test accuracy, %")
    for axes in grid[-1]:
        axes.set_xlabel(scale.label)
    legend(figure, {name: look[name].point for name in strategies})
    return figure


def _panel(axes: Axes, cell: Cell, found: Sequence[Cost], look: dict[str, Look], scale: Scale) -> None:
    edge = pareto_front(found)
    axes.plot([c.spent for c in edge], [100 * c.accuracy for c in edge], color=FAINT, linewidth=1, zorder=1)
    for c in found:
        marker = look[c.strategy].point if c.strategy in look else DOT
        axes.plot(c.spent, 100 * c.accuracy, **marker, zorder=3 if c.strategy in look else 2)
        if c.strategy == cell.rule:
            axes.plot(c.spent, 100 * c.accuracy, **RING)
    _axis(axes, [c.spent for c in found], scale)
    axes.margins(y=0.14)
    axes.set_title(cell_title(cell.name))
    axes.spines[["top", "right"]].set_visible(False)


def _axis(axes: Axes, values: Sequence[float], scale: Scale) -> None:
    """Logarithmic, in the units people read."""
    low, high = min(values), max(values)
    middle, half = (low * high) ** 0.5, max((high / low) ** 0.5 * 1.3, scale.least**0.5)
    axes.set_xscale("log", base=scale.base)
    axes.set_xlim(middle / half, middle * half)
    axes.xaxis.set_major_locator(LogLocator(base=scale.base, subs=scale.subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.show(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())

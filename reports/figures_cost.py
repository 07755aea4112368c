"""What accuracy costs: seconds of training against test accuracy, one panel per cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.figure_data import Cost, frontier
from reports.figures_style import FAINT, INK, Look, legend, looks, new_figure
from reports.text import seconds
from reports.verdict import Cell
from reports.words import cell_title

RING = {
    "marker": "o",
    "linestyle": "none",
    "markersize": 15,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 1.3,
    "zorder": 2,
}


DOT = {"marker": ".", "linestyle": "none", "color": FAINT, "markersize": 6}


def cost(shown: Sequence[tuple[Cell, list[Cost]]], strategies: Sequence[str]) -> Figure | None:
    """None where no training time is known. Ring: the rule's pick; line: what no other strategy beats.

    Strategies that are not among `strategies` are dots.
    """
    shown = [(cell, found) for cell, found in shown if found]
    if not shown:
        return None
    columns = min(2, len(shown))
    lines = ceil(len(shown) / columns)
    figure = new_figure(height=0.6 + 2.7 * lines + 0.2 * ceil(len(strategies) / 4))
    grid = figure.subplots(lines, columns, squeeze=False)
    look = looks(strategies)
    for axes, (cell, found) in zip(grid.flat, shown, strict=False):
        _panel(axes, cell, found, look)
    for axes in list(grid.flat)[len(shown) :]:
        axes.axis("off")
    for line in grid:
        line[0].set_ylabel("test accuracy, %")
    for axes in grid[-1]:
        axes.set_xlabel("training time per run")
    legend(figure, {name: look[name].point for name in strategies})
    return figure


def _panel(axes: Axes, cell: Cell, found: Sequence[Cost], look: dict[str, Look]) -> None:
    edge = frontier(found)
    axes.plot([c.seconds for c in edge], [100 * c.accuracy for c in edge], color=FAINT, linewidth=1, zorder=1)
    for c in found:
        marker = look[c.strategy].point if c.strategy in look else DOT
        axes.plot(c.seconds, 100 * c.accuracy, **marker, zorder=3 if c.strategy in look else 2)
        if c.strategy == cell.rule:
            axes.plot(c.seconds, 100 * c.accuracy, **RING)
    _time_axis(axes, [c.seconds for c in found])
    axes.margins(y=0.14)
    axes.set_title(cell_title(cell.name))
    axes.spines[["top", "right"]].set_visible(False)


def _time_axis(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic, in the units people read; at least one decade wide so that it has two ticks."""
    low, high = min(values), max(values)
    middle, half = (low * high) ** 0.5, max((high / low) ** 0.5 * 1.3, 10**0.5)
    axes.set_xscale("log")
    axes.set_xlim(middle / half, middle * half)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())

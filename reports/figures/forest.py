"""Paired differences, alternative minus the rule's pick, with its own and the simultaneous interval; a panel per cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.analysis.forest import limits
from reports.analysis.stats import Comparison
from reports.analysis.verdict import Cell
from reports.figures.style import BETTER, INK, OPEN, WITHIN, new_figure, shorten
from reports.render.text import points
from reports.render.words import SYMBOL, cell_title

ROW_INCHES = 0.24
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
SHORT = 18  # characters of a label that leave room for two panels side by side


def forest(cells: Sequence[Cell], margin: float) -> Figure:
    """A panel per cell, which has a known comparison. The band is the margin of equivalence."""
    longest = max(len(name) for cell in cells for name in cell.strategies)
    columns = min(2, len(cells)) if longest <= SHORT else 1
    lines = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [0.95 + ROW_INCHES * max(len(cell.comparisons) for cell in line) for line in lines]
    figure = new_figure(height=sum(heights))
    grid = figure.subplots(ceil(len(cells) / columns), columns, squeeze=False, height_ratios=heights)
    for axes, cell in zip(grid.flat, cells, strict=False):
        _panel(axes, cell, margin)
    for axes in list(grid.flat)[len(cells) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("alternative minus the rule's pick, points")
    return figure


def _panel(axes: Axes, cell: Cell, margin: float) -> None:
    found = sorted((c for c in cell.comparisons if c.known), key=lambda c: c.mean)
    low, high = limits(cell, margin)
    axes.axvspan(-100 * margin, 100 * margin, color="#000000", alpha=0.06, linewidth=0)
    axes.axvline(0, color=INK, linewidth=1)
    for y, comparison in enumerate(found):
        _line(axes, y, comparison, low, high, _color(comparison, margin))
    axes.set_xlim(100 * low, 100 * high)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_yticks(range(len(found)), [shorten(c.strategy, 44) for c in found])
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)
    verdict = f"{cell_title(cell.name)}: {SYMBOL[cell.verdict]} {cell.verdict}"
    axes.set_title(f"{verdict}\nrule: {shorten(cell.rule or '', 44)}")


def _line(axes: Axes, y: float, found: Comparison, low: float, high: float, color: str) -> None:
    """Both intervals, the mean, and an arrow head where any lies outside the axes."""
    for start, end, width in ((found.low, found.high, 1.1), (found.own_low, found.own_high, 3.2)):
        left, right = max(start, low), min(end, high)
        if left < right:
            axes.plot([100 * left, 100 * right], [y, y], color=color, linewidth=width, solid_capstyle="butt")
    for end, cut, head in ((low, found.low < low, "<"), (high, found.high > high, ">")):
        if cut:
            axes.plot(100 * end, y, marker=head, color=color, markersize=7, clip_on=False)
    if low <= found.mean <= high:
        axes.plot(100 * found.mean, y, marker="o", color=color, markersize=6.5, markeredgecolor="white")
        return
    side, shift = ("left", 8) if found.mean < low else ("right", -8)
    at: dict[str, Any] = {
        "xy": (100 * min(max(found.mean, low), high), y),
        "xytext": (shift, 0),
        "textcoords": "offset points",
    }
    axes.annotate(points(found.mean, sign=True), ha=side, va="center", size=9, color=color, bbox=PAPER, **at)


def _color(comparison: Comparison, margin: float) -> str:
    if comparison.beats(margin):
        return BETTER
    return WITHIN if comparison.own_high < margin else OPEN

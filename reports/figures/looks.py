"""How the regret's interval narrows from look to look; a panel per cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.analysis.looks import Looks
from reports.figures.style import INK, VERDICT_COLOR, new_figure
from reports.render.words import SYMBOL, cell_title

PANEL_INCHES = 2.4
REACH = 3.0
"""The axis ends at so many times the largest regret, or the margin: early intervals are wide, and are cut."""


def looks(found: Sequence[Looks], margin: float, planned: Sequence[int]) -> Figure:
    """found: with a look taken each. planned: seeds of all looks, which the axis shows."""
    columns = min(2, len(found))
    rows = ceil(len(found) / columns)
    figure = new_figure(height=PANEL_INCHES * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, one in zip(grid.flat, found, strict=False):
        _panel(axes, one, margin, planned)
    for axes in list(grid.flat)[len(found) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("seeds")
    for axes in grid[:, 0]:
        axes.set_ylabel("regret, points")
    return figure


def _panel(axes: Axes, found: Looks, margin: float, planned: Sequence[int]) -> None:
    known = [look for look in found.taken if not isnan(look.cell.regret)]
    top = 100 * max([margin, *(look.cell.regret for look in known)]) * REACH
    axes.axhspan(0, 100 * margin, color="#000000", alpha=0.06, linewidth=0)
    for look in known:
        x, cell = planned.index(look.seeds), look.cell
        color = VERDICT_COLOR[cell.verdict]
        low, high = 100 * cell.regret_low, min(100 * cell.regret_high, top)
        axes.plot([x, x], [low, high], color=color, linewidth=3.2, solid_capstyle="butt")
        if 100 * cell.regret_high > top:
            axes.plot(x, top, marker="^", color=color, markersize=7, clip_on=False)
        axes.plot(
            x, 100 * max(0.0, cell.regret), marker="o", color=color, markersize=6.5, markeredgecolor="white"
        )
        axes.annotate(SYMBOL[cell.verdict], (x, high), (6, -4), textcoords="offset points", color=color)
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_xlim(-0.5, len(planned) - 0.5)
    axes.set_ylim(min(-0.04 * top, 0), 1.08 * top)
    axes.set_xticks(range(len(planned)), [str(n) for n in planned])
    axes.grid(visible=False, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{cell_title(found.name)}: {SYMBOL[found.cell.verdict]} {found.cell.verdict}")

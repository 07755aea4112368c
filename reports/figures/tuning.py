"""What tuning was worth, and how the searches went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.core.schema import CELLS
from reports.analysis.searches import Gain, Search, best_so_far
from reports.figures.style import BETTER, FAINT, INK, WITHIN, legend, looks, new_figure, shorten
from reports.render.words import cell_title

HOLLOW: dict[str, Any] = {
    "marker": "o",
    "markersize": 7,
    "markerfacecolor": "white",
    "markeredgecolor": FAINT,
    "linestyle": "none",
}
FULL: dict[str, Any] = {"marker": "o", "markersize": 7, "color": INK, "linestyle": "none"}


def tuning(gains: Sequence[Gain], rule: Mapping[str, str | None]) -> Figure:
    """A panel per cell: from the accuracy with default hyperparameters (hollow) to that with tuned ones (filled).

    Strategies in the order of their tuned accuracy; the rule's pick is marked.
    """
    shown = [cell for cell in CELLS if any(gain.cell == cell for gain in gains)]
    columns = min(2, len(shown))
    lines = ceil(len(shown) / columns)
    count = max(sum(gain.cell == cell for gain in gains) for cell in shown)
    figure = new_figure(height=0.7 + lines * (0.7 + 0.24 * count))
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, cell in zip(grid.flat, shown, strict=False):
        _gains(
            axes, cell, sorted((g for g in gains if g.cell == cell), key=lambda g: g.tuned), rule.get(cell)
        )
    for axes in list(grid.flat)[len(shown) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("test accuracy, %")
    handles = [Line2D([], [], **HOLLOW), Line2D([], [], **FULL)]
    figure.legend(
        handles, ["default hyperparameters", "tuned"], frameon=False, loc="outside lower center", ncols=2
    )
    return figure


def _gains(axes: Axes, cell: str, gains: Sequence[Gain], rule: str | None) -> None:
    for y, gain in enumerate(gains):
        better = gain.tuned >= gain.default
        line: dict[str, Any] = {
            "color": WITHIN if better else BETTER,
            "linewidth": 2,
            "linestyle": "-" if better else ":",
            "zorder": 1,
        }
        axes.plot([100 * gain.default, 100 * gain.tuned], [y, y], **line)
        axes.plot(100 * gain.default, y, **HOLLOW, zorder=2)
        axes.plot(100 * gain.tuned, y, **FULL, zorder=3)
    names = [f"{'◆ ' if gain.strategy == rule else ''}{shorten(gain.strategy, 30)}" for gain in gains]
    axes.set_yticks(range(len(gains)), names)
    axes.set_ylim(-0.6, len(gains) - 0.4)
    axes.set_title(cell_title(cell))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def history(searches: Sequence[Search], strategies: Sequence[str]) -> Figure:
    """A panel per cell: the best validation accuracy so far, over trials, mean over the searches of a strategy."""
    shown = [cell for cell in CELLS if any(s.cell == cell and len(s.trials) > 1 for s in searches)]
    columns = min(2, len(shown))
    lines = ceil(len(shown) / columns)
    figure = new_figure(height=0.6 + 2.4 * lines + 0.2 * ceil(len(strategies) / 4))
    grid = figure.subplots(lines, columns, squeeze=False)
    look = looks(strategies)
    for axes, cell in zip(grid.flat, shown, strict=False):
        for strategy in strategies:
            found = [s for s in searches if (s.cell, s.strategy) == (cell, strategy)]
            if found:
                curve = [100 * value for value in best_so_far(found)]
                axes.plot(range(len(curve)), curve, **{**look[strategy].line, "markersize": 5})
        axes.set_title(cell_title(cell))
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in list(grid.flat)[len(shown) :]:
        axes.axis("off")
    for line in grid:
        line[0].set_ylabel("best validation\naccuracy so far, %")
    for axes in grid[-1]:
        axes.set_xlabel("trial (0: the defaults)")
    legend(figure, {name: look[name].line for name in strategies})
    return figure

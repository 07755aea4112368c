"""Rank correlation of each measure with what transfer gained, a panel per outcome."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.schema import MEASURES
from reports.analysis.transferability import SIZE, Outcome, Prediction
from reports.figures.style import BETTER, INK, OPEN, new_figure, shorten

ROW_INCHES = 0.27


def transferability(asked: Sequence[Outcome], predictions: Sequence[Sequence[Prediction]]) -> Figure:
    """A panel per outcome with predictions, of which one at least has a correlation. Orange: the interval excludes zero."""
    shown = [(outcome, found) for outcome, found in zip(asked, predictions, strict=True) if found]
    told = {p.measure for _, found in shown for p in found if p.correlation is not None}
    names = [name for name in [*MEASURES, SIZE] if name in told]
    figure = new_figure(height=1.1 + ROW_INCHES * len(names))
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)
    for axes, (outcome, found) in zip(grid.flat, shown, strict=True):
        _panel(axes, names, found)
        width = 58 // len(shown)
        axes.set_title(f"{shorten(outcome.strategy, width)}\nminus {shorten(outcome.reference, width)}")
    grid[0, 0].set_yticks(range(len(names)), [MEASURES.get(name, "images per class") for name in names])
    grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel("Spearman's rank correlation over the conditions", fontsize=10, color=INK)
    return figure


def _panel(axes: Axes, names: Sequence[str], found: Sequence[Prediction]) -> None:
    axes.axvline(0, color=INK, linewidth=1)
    for prediction in found:
        if prediction.correlation is None:
            continue
        y, color = names.index(prediction.measure), BETTER if prediction.shown else OPEN
        marker = "D" if prediction.shown else "o"  # a second sign beside the colour
        axes.plot(
            [prediction.low, prediction.high], [y, y], color=color, linewidth=1.4, solid_capstyle="butt"
        )
        axes.plot([prediction.correlation], [y], marker, color=color, markersize=5)
    axes.set_xlim(-1.08, 1.08)
    axes.set_xticks([-1, 0, 1], ["−1", "0", "1"])
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)

"""All strategies against the baseline, best on top: mean paired difference over the study's conditions."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from matplotlib.figure import Figure

from reports.analysis.ranking import Ranked
from reports.figures.style import BETTER, INK, OPEN, WITHIN, new_figure, shorten

ROW_INCHES = 0.2


def ranking(ranked: Sequence[Ranked], baseline: str | None, margin: float) -> Figure:
    """The band is the margin of equivalence; n below 2 has no interval."""
    figure = new_figure(height=0.9 + ROW_INCHES * len(ranked))
    axes = figure.subplots()
    axes.axvspan(-100 * margin, 100 * margin, color="#000000", alpha=0.06, linewidth=0)
    axes.axvline(0, color=INK, linewidth=1)
    for y, found in enumerate(reversed(ranked)):
        mean, low, high = (
            100 * value for value in (found.interval.mean, found.interval.low, found.interval.high)
        )
        color = INK if found.strategy == baseline else BETTER if low > 0 else WITHIN if high < 0 else OPEN
        if not isnan(low):
            axes.plot([low, high], [y, y], color=color, linewidth=1.4, solid_capstyle="butt")
        axes.plot([mean], [y], "o", color=color, markersize=4)
    axes.set_ylim(-0.7, len(ranked) - 0.3)
    axes.set_yticks(range(len(ranked)), [shorten(r.strategy, 50) for r in reversed(ranked)])
    means = [100 * r.interval.mean for r in ranked]
    span = max(means) - min(means) or 1.0  # three seeds may give intervals far wider than all differences
    axes.set_xlim(min(means) - 0.35 * span, max(means) + 0.35 * span)
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"test accuracy minus that of {shorten(baseline or '', 40)}, points")
    return figure

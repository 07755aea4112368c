"""How wide a strategy's range of good learning rates is."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from reports.analysis.forgiving import Forgiving
from reports.figures.style import FAINT, INK, WITHIN, new_figure, shorten

ROW_INCHES = 0.26
BESIDE = 0.13  # decades from the number to the arrow head


def forgiving(found: Sequence[Forgiving]) -> Figure:
    """A line per strategy: a square per factor tried, the darker the more is lost, and the range within the tolerance."""
    rows = list(reversed(found))
    figure = new_figure(height=1.0 + ROW_INCHES * len(rows))
    axes = figure.subplots()
    for y, one in enumerate(rows):
        axes.plot([one.low, one.high], [y, y], color=WITHIN, linewidth=6, alpha=0.35, solid_capstyle="round")
        for end, is_open, mark in (
            (one.low - BESIDE, one.open_low, "<"),
            (one.high + BESIDE, one.open_high, ">"),
        ):
            if is_open:
                axes.plot(end, y, marker=mark, color=WITHIN, markersize=9, alpha=0.6)
        for factor, lost in one.behind.items():
            axes.text(
                factor,
                y,
                f"{100 * lost:.1f}" if lost >= 0.0005 else "0",
                ha="center",
                va="center",
                size=9,
                color=INK if lost > 0 else WITHIN,
                weight="normal" if lost > 0 else "bold",
            )
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [shorten(one.strategy, 44) for one in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    ticks = sorted({factor for one in found for factor in one.behind})
    axes.set_xticks(ticks, [f"× {10**f:.2g}" for f in ticks])
    axes.set_xlim(min(ticks) - 0.3, max(ticks) + 0.3)
    axes.grid(visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("learning rates, times the study's own; points of validation accuracy lost")
    return figure

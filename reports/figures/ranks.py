"""Critical-difference diagram: mean ranks on a line, bars over strategies that do not differ significantly."""

from __future__ import annotations

from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.analysis.ranks import Ranks
from reports.figures.style import BETTER, FAINT, INK, new_figure, shorten

MOST = 15  # strategies that are named
LINE, BAR = 1.0, 0.42  # heights of a name's line and of a bar, in the axes' units
ROW_INCHES = 0.24


def ranks(found: Ranks, baseline: str | None) -> Figure:
    """Best on the left; names in two columns that meet in the middle ranks."""
    named = list(found.ranks)[:MOST]
    bars = [[name for name in group if name in named] for group in found.groups]
    bars = [bar for bar in bars if len(bar) > 1]
    depth = BAR * (len(bars) + 1)
    lines = ceil(len(named) / 2)
    bottom = depth + LINE * lines
    figure = new_figure(height=ROW_INCHES * (bottom + 4.2))
    axes = figure.subplots()
    low, high = 1.0, max(float(len(named)), max(found.ranks[name] for name in named))
    reach = 0.62 * (high - low)
    axes.set(xlim=(low - reach, high + reach), ylim=(bottom, -3.4))
    axes.axis("off")
    _scale(axes, low, high, found.difference)
    for i, bar in enumerate(bars):
        y = BAR * (i + 1)
        ends = [found.ranks[bar[0]] - 0.008 * reach, found.ranks[bar[-1]] + 0.008 * reach]
        axes.plot(ends, [y, y], color=INK, linewidth=3.6, solid_capstyle="round")
    for i, name in enumerate(named):
        left = i < lines
        y = depth + LINE * (i if left else len(named) - 1 - i) + 0.5
        x = low - 0.03 * reach if left else high + 0.03 * reach
        color = BETTER if name == baseline else INK
        rank = found.ranks[name]
        axes.plot([rank, rank, x], [0, y, y], color=FAINT, linewidth=0.9)
        label = f"{shorten(name, 30)}  {rank:.1f}" if left else f"{rank:.1f}  {shorten(name, 30)}"
        axes.text(
            x,
            y,
            f"{label} " if left else f" {label}",
            ha="right" if left else "left",
            va="center",
            color=color,
        )
        axes.plot([rank], [0], "o", color=color, markersize=4, zorder=3)
    return figure


def _scale(axes: Axes, low: float, high: float, difference: float) -> None:
    """The line of ranks with its ticks, and the critical difference above it."""
    axes.plot([low, high], [0, 0], color=INK, linewidth=1.2)
    step = max(1, round((high - low) / 10))
    for tick in range(int(low), int(high) + 1, step):
        axes.plot([tick, tick], [0, -0.25], color=INK, linewidth=1.0)
        axes.text(tick, -0.45, str(tick), ha="center", va="bottom")
    end = low + difference
    axes.plot([low, low, low, end, end, end], [-2.3, -1.9, -2.1, -2.1, -2.3, -1.9], color=INK, linewidth=1.2)
    text = f"critical difference {difference:.1f}"
    axes.text(end, -2.1, f"  {text}", ha="left", va="center", size=9.5)

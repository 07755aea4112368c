"""Accuracy over images per class, one panel per dataset, one line per strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from reports.analysis.curves import Curve, Panel
from reports.figures.style import FAINT, Look, legend, looks, new_figure, shorten

MANY = 8  # above so many strategies, intervals would hide the lines
DODGE = 0.035  # neighbouring strategies stand this share of n apart, so that bars do not cover each other


def curves(panels: Sequence[Panel], strategies: Sequence[str], small_at_most: int) -> Figure:
    """At least one panel. A dotted line marks where small ends."""
    columns = min(len(panels), 2 if len(panels) != 3 else 3)
    lines = ceil(len(panels) / columns)
    figure = new_figure(height=0.6 + (3.3 if lines < 3 else 2.4) * lines + 0.2 * ceil(len(strategies) / 4))
    grid = figure.subplots(lines, columns, squeeze=False)
    look = looks(strategies)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _panel(axes, panel, look, small_at_most)
    for axes in list(grid.flat)[len(panels) :]:
        axes.axis("off")
    for line in grid:
        line[0].set_ylabel("test accuracy, %")
    legend(figure, {name: look[name].line for name in strategies})
    return figure


def _panel(axes: Axes, panel: Panel, look: Mapping[str, Look], small_at_most: int) -> None:
    sizes = sorted({n for curve in panel.curves for n in curve.n_per_class})
    for i, curve in enumerate(panel.curves):
        shift = 1 + DODGE * (i - (len(panel.curves) - 1) / 2) if len(panel.curves) <= MANY else 1
        _curve(axes, curve, look[curve.strategy], shift, bars=len(panel.curves) <= MANY)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.set_xlim(sizes[0] / 1.35, sizes[-1] * 1.35)
    if sizes[0] <= small_at_most < sizes[-1]:
        between = max(n for n in sizes if n <= small_at_most), min(n for n in sizes if n > small_at_most)
        axes.axvline((between[0] * between[1]) ** 0.5, color=FAINT, linestyle=":", linewidth=1)
    parts = [panel.dataset, panel.backbone] if panel.backbone else [panel.dataset]
    axes.set_title(" · ".join(shorten(part, 36 // len(parts)) for part in parts))
    axes.set_xlabel("images per class")
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes: Axes, curve: Curve, look: Look, shift: float, bars: bool) -> None:
    x = [n * shift for n in curve.n_per_class]
    y = [100 * mean.mean for mean in curve.means]
    axes.plot(x, y, **look.line, linewidth=1.6 if bars else 1.2)
    if bars:
        half = [100 * (m.high - m.mean) if isfinite(m.high) else 0.0 for m in curve.means]
        axes.errorbar(x, y, yerr=half, fmt="none", ecolor=look.color, elinewidth=1.1, capsize=2, alpha=0.75)

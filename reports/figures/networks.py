"""All strategies against the baseline on each network, side by side."""

from __future__ import annotations

from math import isnan

from matplotlib.figure import Figure

from reports.analysis.networks import Networks
from reports.figures.style import INK, legend, looks, new_figure, shorten

ROW_INCHES = 0.16  # of one network's line


def by_network(found: Networks, margin: float) -> Figure:
    """A marker and its 95 % interval for each network; the band is the margin of equivalence."""
    rows = [s for s in reversed(found.strategies) if s != found.baseline]
    figure = new_figure(height=1.3 + len(rows) * (0.1 + ROW_INCHES * len(found.names)))
    axes = figure.subplots()
    axes.axvspan(-100 * margin, 100 * margin, color="#000000", alpha=0.06, linewidth=0)
    axes.axvline(0, color=INK, linewidth=1)
    look = looks(found.names)
    step = 0.75 / len(found.names)
    means = []
    for y, strategy in enumerate(rows):
        for i, name in enumerate(found.names):
            interval = found.against[name][strategy].interval
            mean, low, high = (100 * value for value in (interval.mean, interval.low, interval.high))
            place = y + step * ((len(found.names) - 1) / 2 - i)
            if not isnan(low):
                axes.plot([low, high], [place, place], color=look[name].color, linewidth=1.2)
            axes.plot([mean], [place], **{**look[name].line, "linestyle": "none", "markersize": 6})
            means.append(mean)
    span = max(means) - min(means) or 1.0  # three seeds may give intervals far wider than all differences
    axes.set_xlim(min(means) - 0.25 * span, max(means) + 0.25 * span)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [shorten(s, 50) for s in rows])
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"test accuracy minus that of {shorten(found.baseline, 40)}, points")
    legend(figure, {name: {**look[name].line, "linestyle": "none"} for name in found.names})
    return figure

"""What fine-tuning gains over a probe, by the measured distance to the source: a panel per network, a line per size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.analysis.slope import Line
from reports.analysis.transfer import Transfer
from reports.figures.style import BETTER, INK, WITHIN, new_figure, shorten

COLOR = {True: BETTER, False: WITHIN}
MARKER = {True: "o", False: "s"}
NAME = {True: "few images per class", False: "many images per class"}
Groups = Mapping[tuple[str, bool], Sequence[Transfer]]


def similarity(groups: Groups, lines: Mapping[tuple[str, bool], Line | None]) -> Figure:
    """Filled: declared similar by the study; hollow: dissimilar."""
    names = list(dict.fromkeys(name for (name, _), own in groups.items() if any(one.distance for one in own)))
    figure = new_figure(height=3.6)
    grid = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(grid, names, strict=True):
        axes.axhline(0, color=INK, linewidth=1)
        for (network, small), own in groups.items():
            if network == name:
                _group(axes, small, own, lines[network, small])
        axes.set_title(shorten(name, 40))
        axes.set_xlabel("measured distance to the source")
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel("full fine-tuning minus\nlinear probe, points")
    _legend(figure, [small for small in (True, False) if any(key[1] == small for key in groups)])
    return figure


def _group(axes: Axes, small: bool, own: Sequence[Transfer], line: Line | None) -> None:
    for one in own:
        if one.distance is not None:
            face = COLOR[small] if one.similar else "white"
            axes.plot(
                one.distance,
                100 * one.gain,
                marker=MARKER[small],
                color=COLOR[small],
                markerfacecolor=face,
                markersize=6.5,
                linestyle="none",
            )
    if line is None:
        return
    known = [one.distance for one in own if one.distance is not None]
    xs = np.linspace(min(known), max(known), 50)
    middle, half = (100 * np.array(values) for values in zip(*(line.at(x) for x in xs), strict=True))
    axes.plot(xs, middle, color=COLOR[small], linewidth=2, linestyle="-" if small else "--")
    axes.fill_between(xs, middle - half, middle + half, color=COLOR[small], alpha=0.12, linewidth=0)


def _legend(figure: Figure, sizes: Sequence[bool]) -> None:
    handles = [
        Line2D([], [], color=COLOR[s], marker=MARKER[s], linestyle="-" if s else "--", markersize=6.5)
        for s in sizes
    ]
    plain = {"color": INK, "marker": "o", "linestyle": "none", "markersize": 6.5}
    handles += [Line2D([], [], **plain), Line2D([], [], **plain, markerfacecolor="white")]  # type: ignore[arg-type]
    names = [*(NAME[s] for s in sizes), "by common sense similar", "dissimilar"]
    figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=len(names))

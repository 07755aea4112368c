"""What following the rule loses on each dataset: a panel per cell of the matrix, a marker per network."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.schema import CELLS
from reports.analysis.over_datasets import CellOver
from reports.analysis.stats import mean_of
from reports.figures.style import FAINT, INK, legend, looks, new_figure, shorten
from reports.render.words import SYMBOL, cell_title

ROW_INCHES = 0.19
MEAN = "mean"


def datasets(cells: Sequence[CellOver], margin: float) -> Figure:
    """Datasets in the order of their loss, the mean with its 95 % interval below; the band is the margin."""
    names = list(dict.fromkeys(over.backbone for over in cells))
    shown = [[c for c in row if any(o.cell.name == c for o in cells)] for row in (CELLS[::2], CELLS[1::2])]
    grid = [row for row in shown if row]
    columns = max(map(len, grid))
    heights = [1.1 + ROW_INCHES * (1 + max(_count(cells, c) for c in row)) for row in grid]
    figure = new_figure(height=0.3 + sum(heights))
    axes = figure.subplots(len(grid), columns, squeeze=False, height_ratios=heights, sharex=True)
    for i, row in enumerate(grid):
        for j in range(columns):
            if j < len(row):
                _panel(axes[i][j], row[j], [o for o in cells if o.cell.name == row[j]], names, margin)
            else:
                axes[i][j].axis("off")
    for one in axes[-1]:
        one.set_xlabel("lost by following the rule, points")
    legend(figure, {name: {**looks(names)[name].line, "linestyle": "none"} for name in names})
    return figure


def _count(cells: Sequence[CellOver], name: str) -> int:
    return len({r.dataset for over in cells if over.cell.name == name for r in over.regrets})


def _panel(axes: Axes, name: str, own: Sequence[CellOver], names: Sequence[str], margin: float) -> None:
    lost = {
        over.backbone: {r.dataset: 100 * r.lost for r in over.regrets if not isnan(r.lost)} for over in own
    }
    found = {dataset for by in lost.values() for dataset in by}
    order = sorted(found, key=lambda d: fmean(by[d] for by in lost.values() if d in by))
    axes.axvspan(-100 * margin, 100 * margin, color="#000000", alpha=0.06, linewidth=0)
    axes.axvline(0, color=INK, linewidth=1)
    look = looks(names)
    for place, (network, by) in enumerate(lost.items()):
        line = {**look[network].line, "linestyle": "none", "markersize": 6.5, "clip_on": False}
        axes.plot([by[d] for d in order if d in by], [y + 1 for y, d in enumerate(order) if d in by], **line)
        mean = mean_of(list(by.values()))
        y = -0.55 * place
        if not isnan(mean.low):
            axes.plot([mean.low, mean.high], [y, y], color=look[network].color, linewidth=2.4)
        axes.plot([mean.mean], [y], **line)
    axes.axhline(0.5, color=FAINT, linewidth=0.8)
    axes.set_yticks(range(len(order) + 1), [MEAN, *(shorten(d, 24) for d in order)])
    axes.set_ylim(-0.2 - 0.55 * len(lost), len(order) + 0.6)
    axes.grid(visible=False, axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)
    rule = shorten(own[0].cell.rule or "no pick", 34)
    axes.set_title(f"{cell_title(name)}\nrule: {rule}\n{_verdicts(own)}")


def _verdicts(own: Sequence[CellOver]) -> str:
    """In words where all networks have the same, else a sign for each."""
    found = list(dict.fromkeys(over.cell.verdict for over in own))
    if len(found) == 1:
        return f"{SYMBOL[found[0]]} {found[0]}"
    return " ".join(SYMBOL[over.cell.verdict] for over in own)

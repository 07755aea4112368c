"""The decision matrix with its verdicts: rows small and large, columns similar and dissimilar."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from reports.analysis.verdict import Cell, Verdict
from reports.figures.style import FAINT, INK, VERDICT_COLOR, VERDICT_FILL, new_figure, shorten
from reports.render.text import interval, percent, points, seconds
from reports.render.words import SYMBOL, WHY, replication

COLUMNS, ROWS = ["similar", "dissimilar"], ["small", "large"]
LEFT, TOP, W, H, GAP = 0.09, 0.905, 0.44, 0.435, 0.02  # in axes units
NAME = 23  # characters of a strategy's label that fit


HEIGHT, TUNED_HEIGHT = 5.0, 5.7  # inches; the latter has room for a fifth line


def matrix(cells: Sequence[Cell], small_at_most: int, before: Sequence[Cell] = ()) -> Figure:
    """One card per cell: verdict, the rule's pick, the best, the regret with its bounds, and the cost.

    before: the cells with default hyperparameters, where `cells` are of tuned strategies.
    """
    height = TUNED_HEIGHT if before else HEIGHT
    figure = new_figure(height=height)
    figure.set_layout_engine("none")  # everything is placed by hand
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    found, untuned = ({cell.name: cell for cell in some} for some in (cells, before))
    _headings(axes, small_at_most)
    for i, size in enumerate(ROWS):
        for j, similarity in enumerate(COLUMNS):
            x, y = LEFT + j * (W + GAP), TOP - (i + 1) * H - i * GAP
            name = f"{similarity}-{size}"
            _card(axes, x, y, HEIGHT / height, found.get(name), untuned.get(name))
    return figure


def _headings(axes: Axes, limit: int) -> None:
    for j, name in enumerate(["similar to the source", "dissimilar from the source"]):
        axes.text(LEFT + j * (W + GAP) + W / 2, 0.945, name, ha="center", weight="bold", size=12)
    for i, (name, sign) in enumerate(zip(ROWS, ["≤", ">"], strict=True)):
        y = TOP - i * (H + GAP) - H / 2
        axes.text(0.032, y, name, ha="center", va="center", rotation=90, weight="bold", size=12)
        note = f"{sign} {limit} images per class"
        axes.text(0.064, y, note, ha="center", va="center", rotation=90, size=9, color=FAINT)


def _card(axes: Axes, x: float, y: float, unit: float, cell: Cell | None, before: Cell | None) -> None:
    """unit: what distances between lines are multiplied by, as axes units are of the figure's height."""
    verdict = cell.verdict if cell else Verdict.UNTESTED
    shape = "round,pad=0,rounding_size=0.012"
    style: dict[str, Any] = {
        "facecolor": VERDICT_FILL[verdict],
        "edgecolor": VERDICT_COLOR[verdict],
        "linewidth": 1.4,
    }
    axes.add_patch(FancyBboxPatch((x, y), W, H, boxstyle=shape, **style))
    if cell is None:
        axes.text(x + W / 2, y + H / 2, "not in this study", ha="center", va="center", color=FAINT, size=11)
        return
    left, right, top = x + 0.022, x + W - 0.022, y + H - 0.07 * unit
    head = f"{SYMBOL[verdict]}  {verdict}"
    axes.text(left, top, head, weight="bold", size=15, color=VERDICT_COLOR[verdict], va="center")
    axes.text(right, top, replication(cell), size=9, color=FAINT, ha="right", va="center")
    for i, line in enumerate([*_lines(cell), *_untuned(before)]):
        _line(axes, left, right, top - (0.095 + 0.073 * i) * unit, *line)


def _untuned(before: Cell | None) -> list[tuple[str, str, str]]:
    if before is None:
        return []
    regret = "" if isnan(before.regret) else f"{points(before.regret)} points"
    return [
        (
            "untuned",
            f"{SYMBOL[before.verdict]} {before.verdict}, regret" if regret else before.verdict,
            regret,
        )
    ]


def _line(axes: Axes, left: float, right: float, y: float, what: str, name: str, value: str) -> None:
    axes.text(left, y, what, size=10, color=FAINT, va="center")
    axes.text(left + 0.082, y, name, size=10.5, color=INK, va="center")
    axes.text(right, y, value, size=10.5, color=INK, va="center", ha="right", weight="bold")


def _lines(cell: Cell) -> list[tuple[str, str, str]]:
    """What, name, value: up to four lines."""
    rule = shorten(cell.rule, NAME) if cell.rule else "no pick in this study"
    lines = [("rule", rule, "" if isnan(cell.rule_accuracy) else percent(cell.rule_accuracy))]
    if cell.best:
        name = "the rule's pick" if cell.best == cell.rule else shorten(cell.best, NAME)
        lines.append(("best", name, percent(cell.best_accuracy)))
    if not isnan(cell.regret):
        bounds = interval(cell.regret_low, cell.regret_high)
        lines.append(("regret", f"within {bounds}", f"{points(cell.regret)} points"))
    elif cell.rule and cell.why:
        lines.append(("", WHY[cell.why].removeprefix("the rule's pick has "), ""))
    if cell.rule_seconds is not None and cell.best_seconds is not None and cell.best != cell.rule:
        lines.append(
            ("training", "rule, then best", f"{seconds(cell.rule_seconds)}, {seconds(cell.best_seconds)}")
        )
    elif cell.rule_seconds is not None:
        lines.append(("training", "per run", seconds(cell.rule_seconds)))
    return lines

"""How forgiving each strategy is of its learning rate."""

from __future__ import annotations

from functools import partial

from reports.analysis.forgiving import STEP, TOLERANCE, Forgiving
from reports.answer.overview import Overview
from reports.figures.forgiving import forgiving as figure
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, points


def section(overview: Overview) -> list[Block]:
    """Where enough searches have moved the learning rates."""
    found = overview.forgiving
    if not found:
        return []
    factors = sorted({factor for one in found for factor in one.behind})
    header = ["strategy", "within a point, decades", *(f"× {10**f:.2g}" for f in factors), "searches"]
    return [
        Heading("How forgiving each strategy is of its learning rate"),
        Paragraph(_answer(found)),
        Figure("forgiving", "Accuracy lost by learning rates off the best", partial(figure, found)),
        Table(header, [_line(one, factors) for one in found]),
        Caption(f"""
            From the trials of all searches, on validation images: points of accuracy lost where all learning rates of a
            strategy are multiplied by one factor, against its best factor; level of a search and effect of the factor are
            fitted together, by least squares. Within a point: the decades of learning rate within {points(TOLERANCE)}
            points of the best, linear between factors; "≥": the range ends where no more was tried. Factors are rounded to
            {STEP:g} decades.
        """),
    ]


def _answer(found: list[Forgiving]) -> str:
    first, last = found[0], found[-1]
    if first is last:
        return ""
    return (
        f"Most forgiving is {code(first.strategy)}: its learning rate may be anywhere within {width(first)} decades for one "
        f"point of accuracy. Least is {code(last.strategy)}, with {width(last)}."
    )


def width(one: Forgiving) -> str:
    """As in `≥ 1.5`."""
    return f"{'≥ ' if one.open_low or one.open_high else ''}{one.width:.1f}"


def _line(one: Forgiving, factors: list[float]) -> list[str]:
    lost = [points(one.behind[f]) if f in one.behind else NONE for f in factors]
    return [code(one.strategy), width(one), *lost, str(one.searches)]

"""All strategies by cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan

from reports.analysis.stats import Mean
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell
from reports.render.blocks import Block, Caption, Heading, Paragraph, Table
from reports.render.text import NONE, code, points
from reports.render.words import NO_RUN, cell_title, selection


def section(study: Analysis) -> list[Block]:
    if not study.any_result:
        return [Heading("All strategies by cell"), Paragraph(NO_RUN)]
    return [
        Heading("All strategies by cell"),
        strategies(study.cells),
        Caption(f"""
            Mean test accuracy in percent ± standard error (n pairs of dataset and seed). **Bold**: the best of the cell;
            ◆: the rule's pick. Where n differs within a cell the means are over different seeds: compare by the paired
            differences above. {selection(study.document)}
        """),
    ]


def strategies(cells: Sequence[Cell]) -> Table:
    """Every strategy by cell: mean ± SE (n); the best bold, the rule's pick marked."""
    labels = list(dict.fromkeys(s for cell in cells for s in cell.strategies))
    header = ["strategy", *(cell_title(cell.name) for cell in cells)]
    return Table(header, [[code(label), *(_mean(cell, label) for cell in cells)] for label in labels])


def _mean(cell: Cell, label: str) -> str:
    mean = cell.means.get(label, Mean(0, nan, nan, nan, nan))
    if not mean.n:
        return NONE
    se = "" if isnan(mean.se) else f" ± {points(mean.se)}"
    value = f"{points(mean.mean)}{se}"
    marked = f"**{value}**" if label == cell.best else value
    return f"{marked} ({mean.n}){' ◆' if label == cell.rule else ''}"

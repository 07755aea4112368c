"""Negative transfer: which strategies are worse than training from scratch."""

from __future__ import annotations

from reports.analysis.document import scratch_label
from reports.analysis.stats import Comparison
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell
from reports.render.blocks import Block, Caption, Heading, Items, Paragraph
from reports.render.text import code, interval, points
from reports.render.words import NO_RUN, cell_title


def section(study: Analysis) -> list[Block]:
    return [Heading("Negative transfer"), *_found(study)]


def _found(study: Analysis) -> list[Block]:
    scratch = scratch_label(study.document)
    if scratch is None:
        return [Paragraph("The study has no strategy that starts from random weights, so it cannot tell.")]
    worse = [_line(cell, one) for cell in study.cells for one in cell.negative]
    if worse:
        return [
            Paragraph("Worse than training from scratch:"),
            Items(worse),
            Caption("""
                Paired differences in percentage points with simultaneous intervals (Student t, Bonferroni over the
                other strategies of the cell); n: pairs of dataset and seed. Listed are those whose upper bound is below
                0.
            """),
        ]
    if not study.any_result:
        return [Paragraph(NO_RUN)]
    return [
        Paragraph(f"""
            No strategy is shown to be worse than {code(scratch)} in any cell (simultaneous paired intervals).
        """)
    ]


def _line(cell: Cell, found: Comparison) -> str:
    below = f"{points(-found.mean)} {interval(-found.high, -found.low)} points below {code(found.reference)}"
    return f"{cell_title(cell.name)}: {code(found.strategy)} is {below}, n = {found.n}"

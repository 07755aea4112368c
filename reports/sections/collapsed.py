"""Collapsed runs: those no better than always saying the largest class. They count like any other result."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.schema import CELLS
from reports.analysis.collapsed import Collapsed, collapsed
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Caption, Heading, Paragraph, Table
from reports.render.text import NONE, code, listed, plural
from reports.render.words import cell_title, selection

NAMED = 8
"""Strategies that the sentence names; the table has all."""


def section(study: Analysis) -> list[Block]:
    found = collapsed(study.rows)
    if not found:
        return []
    return [
        Heading("Collapsed runs"),
        Paragraph(named(found)),
        _table(found),
        Caption(f"""
            Finished runs whose test accuracy is not above always saying the largest class of the test labels, or whose
            training accuracy in the last epoch is not above that of the training labels. They are results, and count in
            every mean; a rate that is too high for the strategy is the usual reason (a lower one, or
            {code("train: {clip_grad: 1.0}")}, may help). By cell: collapsed of all its runs. {selection(study.document)}
        """),
    ]


def named(found: Sequence[Collapsed]) -> str:
    """Which strategies have such runs, in a sentence; '' where none has."""
    if not found:
        return ""
    names = [f"{code(one.strategy)} in {one.collapsed} of {plural(one.runs, 'run')}" for one in found[:NAMED]]
    more = [f"{len(found) - NAMED} more strategies (see the table)"] if len(found) > NAMED else []
    return f"No better than always saying the largest class: {listed([*names, *more])}."


def _table(found: Sequence[Collapsed]) -> Table:
    cells = [cell for cell in CELLS if any(cell in one.by_cell for one in found)]
    lines = [
        [
            code(one.strategy),
            str(one.runs),
            str(one.test),
            str(one.training_only),
            *(
                f"{one.by_cell[cell][0]} of {one.by_cell[cell][1]}" if cell in one.by_cell else NONE
                for cell in cells
            ),
        ]
        for one in found
    ]
    return Table(
        ["strategy", "runs", "on test images", "on training images only", *map(cell_title, cells)], lines
    )

"""Before and after fine-tuning: which runs fell below the network as it was."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.schema import CELLS
from reports.analysis.rows import finished
from reports.analysis.study import Analysis
from reports.analysis.unchanged import Fall, falls
from reports.render.blocks import Block, Caption, Heading, Paragraph, Table
from reports.render.text import NONE, code, listed, percent, plural, points, when
from reports.render.words import NO_RUN, cell_title, selection

NAMED = 8
"""Strategies that the sentence names; the table has all."""


def section(study: Analysis) -> list[Block]:
    return [Heading("Before and after fine-tuning"), *_compared(study)]


def _compared(study: Analysis) -> list[Block]:
    runs = finished(study.rows)
    if not runs:
        return [Paragraph(NO_RUN)]
    found = falls(study.rows)
    if not found:
        return [Paragraph("It cannot be told: no stored run has the score of the unchanged network.")]
    unknown = len(runs) - sum(fall.runs for fall in found)
    missing = f"""
        Left out: {unknown} of {plural(len(runs), "finished run")}, stored without the score of the unchanged network
        (where it did not fit into memory, say).
    """
    return [
        Paragraph(_answer(found)),
        _table(found),
        Caption(f"""
            Unchanged: test accuracy of the network before training, by nearest class mean on its features (cosine; the
            means are those of the run's own training images, nothing is chosen). Fine-tuned: test accuracy of the same
            runs. Fell below: runs whose test accuracy is lower than that of the unchanged network on the same images; a
            single run may do so by a few images' chance. Means over the runs, differences in percentage points.
            {when(unknown, missing)} {selection(study.document)}
        """),
    ]


def _answer(found: Sequence[Fall]) -> str:
    fell = [fall for fall in found if fall.below]
    if not fell:
        runs = plural(sum(fall.runs for fall in found), "run")
        return f"No strategy fell below the unchanged network in any of {runs}."
    named = [f"{code(fall.strategy)} in {fall.below} of {plural(fall.runs, 'run')}" for fall in fell[:NAMED]]
    more = [f"{len(fell) - NAMED} more strategies (see the table)"] if len(fell) > NAMED else []
    kept = len(found) - len(fell)
    never = f" {plural(kept, 'strategy')} never did." if kept else ""
    return f"Fell below the unchanged network: {listed([*named, *more])}.{never}"


def _table(found: Sequence[Fall]) -> Table:
    cells = [cell for cell in CELLS if any(cell in fall.by_cell for fall in found)]
    header = ["strategy", "unchanged", "fine-tuned", "difference", "fell below", *map(cell_title, cells)]
    return Table(header, [_line(fall, cells) for fall in found])


def _line(fall: Fall, cells: Sequence[str]) -> list[str]:
    return [
        code(fall.strategy),
        percent(fall.before),
        percent(fall.after),
        points(fall.after - fall.before, sign=True),
        _of(fall.below, fall.runs),
        *(_of(*fall.by_cell[cell]) if cell in fall.by_cell else NONE for cell in cells),
    ]


def _of(below: int, runs: int) -> str:
    return f"{below} of {runs}"

"""The page: its sections in order, written as markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.core.errors import UserError
from reports.analysis.rows import StoredStudy
from reports.answer import advice, forgiving, head, matrix, networks, scope, similarity, tuning
from reports.answer.overview import Overview
from reports.figures.files import draw
from reports.render.blocks import Block
from reports.render.html import to_html
from reports.render.markdown import to_markdown

LEAST = 3
"""Datasets. Fewer are no sample of anything."""

SECTIONS: list[Callable[[Overview], list[Block]]] = [
    head.section,
    matrix.section,
    similarity.section,
    tuning.section,
    forgiving.section,
    networks.section,
    advice.section,
    scope.section,
]


def write(study: StoredStudy, out: Path) -> Path:
    """Write answer.md, its figures and answer.html into the folder `out`, in place of earlier ones. -> `out`

    Raises:
        UserError: The study has results on fewer than three datasets.
    """
    overview = Overview(study)
    if len(overview.datasets) < LEAST:
        name = study.document.name
        raise UserError(
            f"study {name!r} has results on {len(overview.datasets)} datasets; what holds over datasets takes {LEAST} of "
            f"them (a report on these alone: bench report {name})"
        )
    out.mkdir(parents=True, exist_ok=True)
    blocks = [block for section in SECTIONS for block in section(overview)]
    draw(blocks, out / "figures")
    markdown = to_markdown(blocks)
    (out / "answer.md").write_text(markdown)
    (out / "answer.html").write_text(
        to_html(markdown, title="How to fine-tune: what the evidence says", folder=out)
    )
    return out

"""The report: its sections in order, written as markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from reports.analysis.rows import StoredStudy, read
from reports.analysis.study import Analysis
from reports.figures.files import draw
from reports.render.blocks import Block
from reports.render.html import to_html
from reports.render.markdown import to_markdown
from reports.sections import (
    advice,
    alternatives,
    answer,
    collapsed,
    costs,
    curves,
    data,
    effect,
    head,
    measures,
    negative_transfer,
    networks,
    protocol,
    ranking,
    ranks,
    reproduce,
    searches,
    strategies,
    test_images,
    tuning,
    unchanged,
    verdicts,
    without_result,
)

Section = Callable[[Analysis], list[Block]]

SECTIONS: list[Section] = [
    head.section,
    answer.section,
    verdicts.section,
    alternatives.section,
    tuning.section,
    searches.section,
    curves.section,
    strategies.section,
    ranking.section,
    ranks.section,
    networks.section,
    effect.section,
    costs.section,
    unchanged.section,
    negative_transfer.section,
    test_images.section,
    collapsed.section,
    without_result.section,
    data.section,
    measures.section,
    advice.section,
    protocol.section,
    reproduce.section,
]


def write(name: str, store: str | None, out: Path) -> Path:
    """Write the report of study `name` into `out/name` and return that folder."""
    return write_study(read(name, store), name, out)


def write_study(study: StoredStudy, name: str, out: Path) -> Path:
    """The same from a study at hand. Files of an earlier report are replaced."""
    folder = Path(out) / file_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    blocks = compose(Analysis(study, name))
    draw(blocks, folder / "figures")
    markdown = to_markdown(blocks)
    (folder / "report.md").write_text(markdown)
    (folder / "report.html").write_text(to_html(markdown, title=f"{name}: report", folder=folder))
    return folder


def compose(study: Analysis) -> list[Block]:
    """The blocks of all sections; those that have nothing to say are absent."""
    return [block for section in SECTIONS for block in section(study)]


def file_name(name: str) -> str:
    """`name` as one folder's name: a study called "a/b" or ".." stays below `out`."""
    return re.sub(r"[^\w.\- ]", "-", name).lstrip(".") or "study"

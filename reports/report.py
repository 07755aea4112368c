"""The report: its sections in order, written as markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bench.core.errors import UserError
from bench.core.records.looks import LookRecord
from bench.core.secrets import redacted
from bench.storage.places import store_uri
from reports.analysis.looks import How
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
    choice,
    collapsed,
    costs,
    curves,
    data,
    each_dataset,
    effect,
    head,
    looks,
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
    choice.section,
    verdicts.section,
    alternatives.section,
    looks.section,
    each_dataset.section,
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


def write(name: str, store: str | None, out: Path, peek: bool = False, without_failed: bool = False) -> Path:
    """Write the report of study `name` into `out/name` and return that folder.

    Looks that it takes are in the ledger before anything of them is shown. peek: it takes none. without_failed: looks do
    not wait for runs that have failed.
    """
    how = How(peek, without_failed)
    analysis = Analysis(read(name, store), name, how)
    fresh = [record for looks in analysis.looks for record in looks.fresh]
    planned = 0 if peek or all(looks.taken for looks in analysis.looks) else analysis.looks_planned[-1]
    if fresh or planned > analysis.study.ledger.planned:
        _enter(name, store_uri(store), fresh, planned)
        analysis = Analysis(
            read(name, store), name, how
        )  # somebody else may have taken the same look at the same time
    return _write(analysis, out)


def _enter(name: str, uri: str, fresh: list[LookRecord], planned: int) -> None:
    from bench.tracking import ledger

    try:
        ledger.enter(uri, name, fresh, planned)
    except Exception as error:
        raise UserError(
            f"study {name!r}: its verdicts cannot be shown, as the look at them cannot be entered into the store "
            f"({redacted(str(error))}); estimates without verdicts: `bench report {name} --peek`"
        ) from error


def write_study(study: StoredStudy, name: str, out: Path) -> Path:
    """The same from a study at hand, whose looks are not entered. Files of an earlier report are replaced."""
    return _write(Analysis(study, name), out)


def _write(analysis: Analysis, out: Path) -> Path:
    folder = Path(out) / file_name(analysis.name)
    folder.mkdir(parents=True, exist_ok=True)
    blocks = compose(analysis)
    draw(blocks, folder / "figures")
    markdown = to_markdown(blocks)
    (folder / "report.md").write_text(markdown)
    title = f"{analysis.name}: report"
    (folder / "report.html").write_text(to_html(markdown, title=title, folder=folder))
    return folder


def compose(study: Analysis) -> list[Block]:
    """The blocks of all sections; those that have nothing to say are absent."""
    return [block for section in SECTIONS for block in section(study)]


def file_name(name: str) -> str:
    """`name` as one folder's name: a study called "a/b" or ".." stays below `out`."""
    return re.sub(r"[^\w.\- ]", "-", name).lstrip(".") or "study"

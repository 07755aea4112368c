"""Words that several sections and figures share. Returns markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.records.study import StudyRecord
from reports.analysis.stats import ALPHA
from reports.analysis.verdict import Cell, Reason, Verdict
from reports.render.text import plural

SYMBOL = {
    Verdict.SUPPORTED: "✓",
    Verdict.CONTRADICTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.PROVISIONAL: "…",
    Verdict.UNTESTED: "○",
}

WHY = {
    Reason.NO_PICK: "the rule's pick is not in the study",
    Reason.NOT_PLANNED: "the rule's pick is not planned in this cell",
    Reason.NO_ALTERNATIVE: "there is no alternative to the rule's pick",
    Reason.NOT_COVERED: "no alternative has results on all datasets, sizes and backbones of the rule's pick yet",
    Reason.FEW_OF_RULE: "the rule's pick has fewer than 2 results to compare",
    Reason.RULE_NOT_COVERED: "the rule's pick has no result on some dataset, size or backbone",
    Reason.FEW_OF_ALTERNATIVES: "every alternative has fewer than 2 results to compare",
}
"""Why a cell is untested."""

NO_RUN = "No run has finished."


def cell_title(name: str) -> str:
    """`similar-small` as people say it."""
    return name.replace("-", ", ")


def replication(cell: Cell) -> str:
    """What n counts in a cell."""
    if len(cell.measured) <= 1:
        return plural(cell.n_units, "seed")
    seeds, rest = divmod(cell.n_units, len(cell.measured))
    return f"{cell.n_units} units" if rest else f"{len(cell.measured)} datasets × {plural(seeds, 'seed')}"


def levels(cells: Sequence[Cell]) -> str:
    """The one-sided levels of the cells' tests, and so of each end of their intervals, in words."""
    found = sorted({cell.level for cell in cells})
    if found == [ALPHA]:
        return "2.5 % one-sided, as in a 95 % interval"
    low, high = (f"{100 * level:.2g} %" for level in (found[0], found[-1]))
    return f"{low} one-sided" if low == high else f"{low} to {high} one-sided, by the look it was judged at"


def selection(document: StudyRecord) -> str:
    """How the number that is reported was chosen, as the last sentence of captions."""
    return f"Selection: {selected(document)}."


def selected(document: StudyRecord) -> str:
    best = document.train.evaluate == "best"
    checkpoint = "the epoch with the highest validation accuracy" if best else "the last checkpoint"
    hyperparameters = (
        "hyperparameters tuned on validation images" if document.tune else "hyperparameters fixed beforehand"
    )
    return f"{hyperparameters}, {checkpoint}, test set evaluated once"

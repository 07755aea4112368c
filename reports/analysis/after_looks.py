"""What follows from the looks at a study's cells for other rows of it, and for its hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.core.records.study import StudyRecord
from reports.analysis.document import scratch_label
from reports.analysis.looks import Looks
from reports.analysis.rows import Row
from reports.analysis.stats import ALPHA
from reports.analysis.verdict import Cell, Verdict, judge_cell


def judge_as(looks: Looks, document: StudyRecord, rows: Sequence[Row]) -> Cell:
    """The same cell on other rows, those with default hyperparameters, at the seeds and the level of its last look.

    Seeds until decided add none of these runs after the first look: then they are one sample of a size fixed beforehand,
    which is tested once, at the whole level.
    """
    race = document.race
    seeds = document.seeds[: race.looks[0]] if race else looks.seen
    own = [r for r in rows if r["cell"] == looks.name and (seeds is None or r["seed"] in seeds)]
    matrix, scratch = document.matrix, scratch_label(document)
    # what was dropped was so by what was seen
    at = ALPHA if race else min([looks.cell.level, *(c.level for c in looks.dropped.values())])
    cell = judge_cell(looks.name, own, matrix.rule.get(looks.name), matrix.margin, scratch, at)
    judged = looks.seen is not None or cell.verdict == Verdict.UNTESTED
    return cell if judged else replace(cell, verdict=Verdict.PROVISIONAL)


def out_of_time(document: StudyRecord, rows: Iterable[Row], looks: Iterable[Looks]) -> bool:
    """Whether the runs up to the last looks have taken the hours of the race, so that no further look is begun."""
    if document.race is None or document.race.hours is None:
        return False
    seen = {one.name: one.seen for one in looks}
    spent = sum(row["total_seconds"] or 0.0 for row in rows if row["seed"] in (seen.get(row["cell"]) or ()))
    return spent >= 3600 * document.race.hours

"""Looks at the cells of a study: which were taken, what each said, and what is due next.

A cell is looked at after as many seeds as the study plans: once, at its end, or several times, where it goes on until it
is decided. What a look says follows from the rows up to its last seed and from the looks before it alone, so that everybody
who reads the store finds the same, whoever was killed in between. The ledger (`bench.core.records.looks`) adds what rows
cannot tell: at which level a look was taken, and which runs had no result then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.core.records.looks import LookRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import CELLS, Status
from reports.analysis.document import scratch_label
from reports.analysis.levels import left, levels
from reports.analysis.question import Question, condition
from reports.analysis.rows import Row
from reports.analysis.stats import Comparison
from reports.analysis.verdict import HOPELESS, Cell, Verdict, judge_cell

OVER = (Status.FINISHED, Status.DIVERGED, Status.FAILED)
"""A look waits for these no more. Failed runs are tried again by the next `bench run`, for the looks to come."""

NAMED = 400
"""Of runs without a result a look's record names so many at most: MLflow's tags are short."""


@dataclass(frozen=True)
class Look:
    """One look that was taken. shown: alternatives that it showed not to be better by the margin."""

    cell: Cell
    record: LookRecord
    shown: Mapping[str, Comparison]

    @property
    def seeds(self) -> int:
        return len(self.record.seeds)


@dataclass
class Looks:
    """All looks at one cell, as far as the plan goes now.

    Attributes:
        cell: As the last look left it; where there is none, estimates.
        taken: In order.
        due: Seeds of the next look; None where the cell is decided, or the last look is taken.
        fresh: Those of `taken` that the ledger does not have yet.
        known: The ledger's looks at the same data, whatever was asked of them.
        dropped: Alternatives that get no more seeds, with what was found of them.
        dropped_at: After how many seeds.
    """

    name: str
    cell: Cell = field(init=False)
    taken: list[Look] = field(default_factory=list)
    due: int | None = None
    fresh: list[LookRecord] = field(default_factory=list)
    known: list[LookRecord] = field(default_factory=list)
    dropped: dict[str, Comparison] = field(default_factory=dict)
    dropped_at: dict[str, int] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        """The sum of the levels of all looks at these data."""
        return sum(record.level for record in [*self.known, *self.fresh])

    @property
    def decided(self) -> bool:
        return _decided(self.cell)


def _decided(cell: Cell) -> bool:
    return cell.verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED) or cell.why in HOPELESS


def look_at_study(
    document: StudyRecord, rows: Sequence[Row], ledger: Iterable[LookRecord] = (), peek: bool = False
) -> list[Looks]:
    """Of the cells that the plan has, in the matrix' order.

    Args:
        rows: Of one setting.
        ledger: The looks so far.
        peek: Take no look that is not in the ledger.
    """
    ledger = list(ledger)
    by_cell = {name: [row for row in rows if row["cell"] == name] for name in CELLS}
    return [
        look_at_cell(Question.of(document, name, own), own, [r for r in ledger if r.cell == name], peek)
        for name, own in by_cell.items()
        if own
    ]


def judge_as(looks: Looks, document: StudyRecord, rows: Sequence[Row]) -> Cell:
    """The same cell on other rows, those with default hyperparameters, at the seeds and the level of its last look."""
    seeds = looks.taken[-1].record.seeds if looks.taken else ()
    own = [row for row in rows if row["cell"] == looks.name and (not seeds or row["seed"] in seeds)]
    matrix, scratch = document.matrix, scratch_label(document)
    cell = judge_cell(looks.name, own, matrix.rule.get(looks.name), matrix.margin, scratch, looks.cell.level)
    judged = bool(seeds) or cell.verdict == Verdict.UNTESTED
    return cell if judged else replace(cell, verdict=Verdict.PROVISIONAL)


def look_at_cell(
    question: Question, rows: Sequence[Row], ledger: Sequence[LookRecord] = (), peek: bool = False
) -> Looks:
    """Take every look that is due and whose runs are over, one after the other."""
    known = [record for record in ledger if record.data == question.data]
    looks = Looks(question.cell, known=known)
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    key = question.key(strategies)
    for n in question.looks:
        seeds = tuple(question.seeds[:n])
        record = next((r for r in known if r.question == key and r.seeds == seeds), None)
        if record is None:
            if peek or not _over(rows, [s for s in strategies if s not in looks.dropped], seeds):
                looks.due = n
                break
            record = _new(question, key, seeds, [*known, *looks.fresh])
        _take(looks, question, rows, record)
        if question.race and _decided(looks.cell):
            break
    if not looks.taken:
        looks.cell = _estimates(question, rows, known)
    return looks


def _over(rows: Sequence[Row], strategies: Sequence[str], seeds: Sequence[int]) -> bool:
    """Whether all runs of these strategies and seeds are over, in every condition in which they are planned."""
    planned = {(row["strategy"], *condition(row)) for row in rows if row["strategy"] in strategies}
    over = {(row["strategy"], *condition(row), row["seed"]) for row in rows if row["status"] in OVER}
    return {(*place, seed) for place in planned for seed in seeds} <= over


def _new(question: Question, key: str, seeds: tuple[int, ...], before: Sequence[LookRecord]) -> LookRecord:
    """A look that is being taken, at the level that is its."""
    earlier = max((len(r.seeds) for r in before if len(r.seeds) < len(seeds)), default=0)
    to_come = [n for n in question.looks if n >= len(seeds)]
    level = levels(to_come, earlier, left(sum(r.level for r in before)))[0]
    return LookRecord(question.cell, question.data, key, seeds, level, "")


def _take(looks: Looks, question: Question, rows: Sequence[Row], record: LookRecord) -> None:
    """Judge the cell at this look, and enter it."""
    seen = [row for row in rows if row["seed"] in record.seeds and row["run_id"][:8] not in record.without]
    args = (question.rule, question.margin, question.scratch, record.level, looks.dropped)
    looks.cell = cell = replace(judge_cell(question.cell, seen, *args), seeds=len(record.seeds))
    shown = {
        c.strategy: c
        for c in cell.comparisons
        if c.strategy not in looks.dropped and c.known and c.own_high < question.margin
    }
    if not record.verdict:
        failed = tuple(row["run_id"][:8] for row in seen if row["status"] == Status.FAILED)[:NAMED]
        record = replace(record, verdict=str(cell.verdict), dropped=tuple(shown), without=failed)
        if cell.verdict != Verdict.UNTESTED:  # says nothing, and uses nothing up
            looks.fresh.append(record)
    looks.taken.append(Look(cell, record, shown))
    if question.race:
        looks.dropped |= shown
        looks.dropped_at |= dict.fromkeys(shown, len(record.seeds))


def _estimates(question: Question, rows: Sequence[Row], known: Sequence[LookRecord]) -> Cell:
    """Of a cell that was not looked at yet: intervals at the level of the first look, and no verdict."""
    first = question.looks[0]
    level = levels(question.looks, 0, left(sum(r.level for r in known)))[0]
    seen = [row for row in rows if row["seed"] in question.seeds[:first]]
    cell = judge_cell(question.cell, seen, question.rule, question.margin, question.scratch, level)
    return cell if cell.verdict == Verdict.UNTESTED else replace(cell, verdict=Verdict.PROVISIONAL)


def out_of_time(document: StudyRecord, rows: Sequence[Row], looks: Sequence[Looks]) -> bool:
    """Whether the runs up to the last looks have taken the hours of the race, so that no further look is begun."""
    if document.race is None or document.race.hours is None:
        return False
    seen = {one.name: set(one.taken[-1].record.seeds) for one in looks if one.taken}
    spent = sum(row["total_seconds"] or 0.0 for row in rows if row["seed"] in seen.get(row["cell"], ()))
    return spent >= 3600 * document.race.hours

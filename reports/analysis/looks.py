"""Looks at the cells of a study: which were taken, what each said, and what is due next.

A cell is looked at after as many seeds as the study plans: once, at its end, or several times, where it goes on until it
is decided. What a look says follows from the rows up to its last seed and from the looks before it alone, so that everybody
who reads the store finds the same, whoever was killed in between. The ledger (`bench.core.records.looks`) adds what rows
cannot tell: at which level a look was taken, and which failed runs it did without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.core.records.looks import Ledger, LookRecord, parts
from bench.core.records.study import StudyRecord
from bench.core.schema import CELLS
from reports.analysis.levels import level
from reports.analysis.question import Question
from reports.analysis.rows import Row
from reports.analysis.stats import Comparison
from reports.analysis.verdict import HOPELESS, Cell, Verdict, judge_cell

NAMED = 150
"""Of failed runs a look's record names so many at most: MLflow's tags are short."""


@dataclass(frozen=True)
class How:
    """How looks are taken. peek: none that is not in the ledger. without_failed: without runs that have failed."""

    peek: bool = False
    without_failed: bool = False


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
        failed: How many runs of the next look have failed.
        fresh: Those of `taken` that the ledger does not have yet.
        known: The ledger's looks at this cell, whatever was asked of it.
        dropped: Alternatives that get no more seeds, with what was found of them.
        dropped_at: After how many seeds.
    """

    name: str
    cell: Cell = field(init=False)
    taken: list[Look] = field(default_factory=list)
    due: int | None = None
    failed: int = 0
    fresh: list[LookRecord] = field(default_factory=list)
    known: list[LookRecord] = field(default_factory=list)
    dropped: dict[str, Comparison] = field(default_factory=dict)
    dropped_at: dict[str, int] = field(default_factory=dict)

    @property
    def entered(self) -> list[Look]:
        """Those of `taken` that the ledger has: what they said may be shown."""
        return [look for look in self.taken if look.record not in self.fresh]

    @property
    def records(self) -> list[LookRecord]:
        """All looks at the cell, those that are taken now among them."""
        return [*self.known, *self.fresh]

    @property
    def spent(self) -> float:
        """The sum of their levels."""
        return sum(record.level for record in self.records)

    @property
    def other_rules(self) -> bool:
        """Whether another pick of the rule was looked at: which one is the rule may then have been chosen by the data."""
        return len({record.rule for record in self.records}) > 1

    @property
    def decided(self) -> bool:
        return _decided(self.cell)

    @property
    def seen(self) -> tuple[int, ...] | None:
        """The seeds that the cell was judged on; None: not judged."""
        return self.taken[-1].record.seeds if self.taken else None


def _decided(cell: Cell) -> bool:
    return cell.verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED) or cell.why in HOPELESS


def look_at_study(
    document: StudyRecord, rows: Sequence[Row], ledger: Ledger | None = None, how: How | None = None
) -> list[Looks]:
    """Of the cells that the plan has, in the matrix' order. `rows`: of one setting."""
    by_cell = {name: [row for row in rows if row["cell"] == name] for name in CELLS}
    return [
        look_at_cell(Question.of(document, name, own), ledger or Ledger(), how or How())
        for name, own in by_cell.items()
        if own
    ]


def look_at_cell(question: Question, ledger: Ledger, how: How) -> Looks:
    """Take every look that is due and whose runs are over, one after the other."""
    looks = Looks(question.cell, known=ledger.of(question.cell))
    for n in question.looks:
        seeds = tuple(question.seeds[:n])
        active = [s for s in question.strategies if s not in looks.dropped]
        record = _record(question, seeds, looks, ledger.planned)
        # a look that was taken is not taken again, unless its runs are not those any more
        known = next((r for r in looks.known if r.key == record.key), None)
        if not known and record.level <= 0:  # used up by earlier looks, at other seeds
            continue
        if not question.over(active, seeds, without=bool(known and known.without) or how.without_failed) or (
            how.peek and not known
        ):
            looks.due, looks.failed = n, len(question.failed(seeds))
            break
        _take(looks, question, known or record)
        if question.race and _decided(looks.cell):
            break
    if not looks.taken:
        looks.cell = _estimates(question, looks, ledger.planned)
    return looks


def _record(question: Question, seeds: tuple[int, ...], looks: Looks, planned: int) -> LookRecord:
    """A look that may be taken, at the level that is its."""
    last = question.looks[-1]
    return LookRecord(
        question.cell,
        question.rule or "",
        question.margin,
        question.alternatives,
        question.runs(seeds, looks.dropped_at),
        seeds,
        last,
        level(len(seeds), last, looks.records, planned),
    )


def _take(looks: Looks, question: Question, record: LookRecord) -> None:
    """Judge the cell at this look, and enter it."""
    if not record.verdict:
        failed = [row["run_id"][:8] for row in question.failed(record.seeds)]
        record = replace(record, without=tuple(failed[:NAMED]))
    cell = _judge(question, looks, record.seeds, record.level, record.without)
    cell = replace(cell, seeds=len(record.seeds))
    looks.cell = cell
    shown = {
        c.strategy: c
        for c in cell.comparisons
        if c.strategy not in looks.dropped and c.known and c.own_high < question.margin
    }
    if not record.verdict:
        record = replace(record, verdict=str(cell.verdict))
        if cell.verdict != Verdict.UNTESTED:  # says nothing, and uses nothing up
            looks.fresh.append(record)
    looks.taken.append(Look(cell, record, shown))
    if question.race:
        looks.dropped |= shown
        looks.dropped_at |= dict.fromkeys(shown, len(record.seeds))


def _judge(
    question: Question, looks: Looks, seeds: Sequence[int], at: float, without: Sequence[str] = ()
) -> Cell:
    """Corrections count every alternative that was ever asked about: the others may have been left out for what was seen."""
    asked = {digest for record in looks.known for digest in record.asked}
    rows = question.seen(seeds, without)
    args = (
        question.rule,
        question.margin,
        question.scratch,
        at,
        looks.dropped,
        len(asked | parts(question.alternatives)),
    )
    return judge_cell(question.cell, rows, *args)


def _estimates(question: Question, looks: Looks, planned: int) -> Cell:
    """Of a cell that was not looked at yet: intervals at the level of the look to come, and no verdict."""
    n = looks.due or question.looks[-1]
    at = level(n, question.looks[-1], looks.known, planned)
    cell = _judge(question, looks, question.seeds[:n], max(at, 1e-6))
    return cell if cell.verdict == Verdict.UNTESTED else replace(cell, verdict=Verdict.PROVISIONAL)

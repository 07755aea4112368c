"""All that a report says of a study, computed once: what sections put into words and figures draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.core.records.study import StudyRecord, TuneRecord
from bench.core.schema import Tag
from reports.analysis.each_dataset import Apart, apart
from reports.analysis.looks import Looks, judge_as, look_at_study, out_of_time
from reports.analysis.networks import Networks, networks
from reports.analysis.power import Further, further
from reports.analysis.ranking import Ranked, rank
from reports.analysis.ranks import Ranks, TooFew, rank_test
from reports.analysis.rows import Row, StoredStudy
from reports.analysis.searches import DEFAULT, TUNED, Gain, Search, gains, searches
from reports.analysis.shown import MOST, shown, strategy_order
from reports.analysis.ties import Ties, ties
from reports.analysis.verdict import Cell, Verdict


@dataclass(frozen=True)
class Analysis:
    """A study under its name. Everything but `before`, `gains` and `searches` is of `rows` alone.

    peek: estimates only, no verdict that is not in the ledger yet; so no error rate is used up.
    """

    study: StoredStudy
    name: str
    peek: bool = False

    @property
    def document(self) -> StudyRecord:
        return self.study.document

    @property
    def tune(self) -> TuneRecord | None:
        """The search that the study asked for."""
        return self.document.tune

    @property
    def all_rows(self) -> list[Row]:
        """Of the whole plan, whatever the setting."""
        return self.study.rows

    @cached_property
    def rows(self) -> list[Row]:
        """The runs that the verdicts speak of: with tuned hyperparameters where the study tunes, else all."""
        return self._with(TUNED if self.tune else DEFAULT)

    def _with(self, setting: str) -> list[Row]:
        return [row for row in self.all_rows if row["setting"] == setting]

    @cached_property
    def looks(self) -> list[Looks]:
        """The looks at each cell that have been taken, and those that are being taken now."""
        return look_at_study(self.document, self.rows, self.study.ledger, self.peek)

    @cached_property
    def cells(self) -> list[Cell]:
        return [looks.cell for looks in self.looks]

    @property
    def looks_planned(self) -> tuple[int, ...]:
        """Seeds after which the study looks at its verdicts; of a fixed number of seeds that number alone."""
        race = self.document.race
        return race.looks if race else (len(self.document.seeds),)

    def to_come(self, looks: Looks) -> list[int]:
        """Seeds of the looks at a cell that are planned still."""
        if looks.due is None or out_of_time(self.document, self.rows, self.looks):
            return []
        return [n for n in self.looks_planned if n >= looks.due]

    def further(self, looks: Looks) -> Further | None:
        """What would settle a cell that was looked at and is undecided."""
        if looks.cell.verdict != Verdict.UNDECIDED:
            return None
        return further(looks, self.to_come(looks), self.margin)

    def seen(self, cell: Cell) -> list[Row]:
        """The rows that the cell was judged on."""
        looks = next(looks for looks in self.looks if looks.cell is cell)
        seeds = looks.taken[-1].record.seeds if looks.taken else self.document.seeds
        return [row for row in self.rows if row["cell"] == cell.name and (not seeds or row["seed"] in seeds)]

    @cached_property
    def ties(self) -> dict[str, Ties]:
        """By cell, which strategies are as good as the best; of cells with two that can be compared."""
        found = {
            looks.name: ties(self.seen(looks.cell), looks.cell, self.margin, looks.dropped)
            for looks in self.looks
        }
        return {name: one for name, one in found.items() if one}

    @cached_property
    def apart(self) -> list[Apart]:
        """The cells of several datasets, dataset by dataset."""
        found = (apart(self.seen(cell), cell, self.margin) for cell in self.cells)
        return [one for one in found if one]

    @cached_property
    def before(self) -> list[Cell]:
        """The cells with default hyperparameters; empty unless the study has them beside tuned ones."""
        if not self.tune or not self.tune.untuned:
            return []
        rows = self._with(DEFAULT)
        return [judge_as(looks, self.document, rows) for looks in self.looks]

    @cached_property
    def gains(self) -> list[Gain]:
        return gains(self.all_rows) if self.before else []

    @cached_property
    def searches(self) -> list[Search]:
        return searches(self.rows, self.study.stored, self.tune.budget) if self.tune else []

    @cached_property
    def on_cpu(self) -> bool:
        """Whether any run was on a CPU, where peak memory is its process' and tells little of a single run."""
        return any(run.tags.get(Tag.DEVICE, "cpu").startswith("cpu") for run in self.study.runs)

    @cached_property
    def ranking(self) -> list[Ranked]:
        return rank(self.baseline, self.rows)

    @cached_property
    def ranks(self) -> Ranks | TooFew:
        return rank_test(self.rows)

    @cached_property
    def networks(self) -> Networks | None:
        return networks(self.baseline, self.rows)

    @property
    def strategies(self) -> Sequence[str]:
        return strategy_order(self.rows)

    @property
    def baseline(self) -> str | None:
        return self.document.matrix.baseline

    @property
    def margin(self) -> float:
        """Of equivalence, as a fraction."""
        return self.document.matrix.margin

    @property
    def any_result(self) -> bool:
        return any(cell.n_units for cell in self.cells)

    @cached_property
    def shown(self) -> list[str]:
        """The strategies that figures tell apart."""
        return shown(self.rows, self.cells, self.baseline)

    @property
    def many(self) -> bool:
        """Whether figures leave strategies out, or draw them as dots."""
        return len(self.document.strategies) > MOST

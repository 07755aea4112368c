"""All that a report says of a study, computed once: what sections put into words and figures draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.core.records.study import StudyRecord, TuneRecord
from bench.core.schema import Tag
from reports.analysis.networks import Networks, networks
from reports.analysis.ranking import Ranked, rank
from reports.analysis.ranks import Ranks, TooFew, rank_test
from reports.analysis.rows import Row, StoredStudy
from reports.analysis.searches import DEFAULT, TUNED, Gain, Search, gains, searches
from reports.analysis.shown import MOST, shown, strategy_order
from reports.analysis.verdict import Cell, judge_study


@dataclass(frozen=True)
class Analysis:
    """A study under its name. Everything but `before`, `gains` and `searches` is of `rows` alone."""

    study: StoredStudy
    name: str

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
    def cells(self) -> list[Cell]:
        return judge_study(self.document, self.rows)

    @cached_property
    def before(self) -> list[Cell]:
        """The cells with default hyperparameters; empty unless the study has them beside tuned ones."""
        if not self.tune or not self.tune.untuned:
            return []
        return judge_study(self.document, self._with(DEFAULT))

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

"""All that the answer page says of a study, computed once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.core.records.study import StudyRecord
from bench.core.schema import CELLS
from reports.analysis import evidence, leave_one_out
from reports.analysis.dataset_intervals import LEAST
from reports.analysis.document import plainest
from reports.analysis.evidence import Condition
from reports.analysis.forgiving import Forgiving, forgiving, tried
from reports.analysis.leave_one_out import HeldOut, Score
from reports.analysis.over_datasets import CellOver, Regret, average_seeds, cells_over
from reports.analysis.rows import Row, StoredStudy, finished
from reports.analysis.searches import DEFAULT, TUNED, Gain, gains, searches
from reports.analysis.transfer import Transfer, transfers


@dataclass(frozen=True)
class Overview:
    """A study under its name."""

    study: StoredStudy

    @property
    def document(self) -> StudyRecord:
        return self.study.document

    @property
    def margin(self) -> float:
        return self.document.matrix.margin

    @cached_property
    def rows(self) -> list[Row]:
        """The finished runs that the page speaks of: tuned where the study tunes."""
        return self._with(TUNED if self.document.tune else DEFAULT)

    def _with(self, setting: str) -> list[Row]:
        return [row for row in finished(self.study.rows) if row["setting"] == setting]

    @cached_property
    def networks(self) -> list[str]:
        """Labels of those with results."""
        return list(dict.fromkeys(row["backbone"] for row in self.rows))

    @cached_property
    def datasets(self) -> list[str]:
        """Labels of those with results."""
        return list(dict.fromkeys(row["dataset"] for row in self.rows))

    @cached_property
    def cells(self) -> list[CellOver]:
        return cells_over(self.rows, self.document.matrix.rule, self.margin, CELLS)

    @property
    def regrets(self) -> list[Regret]:
        return [one for cell in self.cells for one in cell.regrets]

    @cached_property
    def _untuned_rows(self) -> list[Row]:
        """With default hyperparameters, of the cells and networks in which all that is tuned has them, too.

        A search that keeps the defaults leaves one run for both: those alone would say that tuning changes nothing.
        """
        if not self.document.tune:
            return []
        default, wanted = self._with(DEFAULT), _conditions(self.rows)
        has = _conditions(default)
        whole = {key for key, own in wanted.items() if own <= has.get(key, set())}
        return [row for row in default if (row["backbone"], row["cell"]) in whole]

    @cached_property
    def untuned(self) -> dict[tuple[str, str], CellOver]:
        """By network and cell, the same with default hyperparameters, where all of the cell has been run with them."""
        found = cells_over(self._untuned_rows, self.document.matrix.rule, self.margin, CELLS)
        return {(one.backbone, one.cell.name): one for one in found}

    @cached_property
    def gains(self) -> dict[str, list[Gain]]:
        """By network, what tuning changed in those cells: n counts datasets."""
        default = self._untuned_rows
        cells = {(row["backbone"], row["cell"]) for row in default}
        tuned = [row for row in self.rows if (row["backbone"], row["cell"]) in cells]
        rows = average_seeds([*tuned, *default])
        return {name: gains([r for r in rows if r["backbone"] == name]) for name in self.networks}

    @cached_property
    def forgiving(self) -> list[Forgiving]:
        return forgiving(tried(self.study.stored))

    @cached_property
    def transfers(self) -> list[Transfer]:
        return transfers(self.document, self.rows, self.baseline, plainest(self.document, "linear_probe"))

    @property
    def baseline(self) -> str | None:
        return self.document.matrix.baseline or plainest(self.document, "full")

    @cached_property
    def conditions(self) -> list[Condition]:
        """What advice can be weighed from, without probes at several sizes."""
        found = evidence.conditions(self.document, self.study.rows)
        return evidence.without_curves(evidence.comparable(found, evidence.reference(found)))

    @cached_property
    def held_out(self) -> list[HeldOut]:
        """Each dataset advised on from the others; empty with too few."""
        reference = evidence.reference(self.conditions)
        if reference is None or len({c.dataset for c in self.conditions}) < LEAST:
            return []
        return leave_one_out.learn(self.conditions, reference)[0]

    @cached_property
    def scores(self) -> list[Score]:
        return leave_one_out.scores(self.held_out) if self.held_out else []

    @cached_property
    def hours(self) -> float:
        """Of training, preparation and evaluation, of runs and searches."""
        runs = [row["total_seconds"] or 0.0 for row in finished(self.study.rows)]
        return (math.fsum(runs) + self._search_seconds) / 3600

    @property
    def _search_seconds(self) -> float:
        return math.fsum(search.seconds for search in searches(self.study.rows, self.study.stored))


def _conditions(rows: Sequence[Row]) -> dict[tuple[str, str], set[tuple[str, int, str, int]]]:
    """By network and cell, what has a result: dataset, size, strategy and seed."""
    found: dict[tuple[str, str], set[tuple[str, int, str, int]]] = defaultdict(set)
    for row in rows:
        key = (row["dataset"], row["n_per_class"], row["strategy"], row["seed"])
        found[row["backbone"], row["cell"]].add(key)
    return found


def by_network(cells: Sequence[CellOver]) -> dict[str, list[CellOver]]:
    """In the order of the study."""
    found: dict[str, list[CellOver]] = defaultdict(list)
    for cell in cells:
        found[cell.backbone].append(cell)
    return dict(found)

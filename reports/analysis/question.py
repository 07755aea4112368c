"""What a cell of the matrix is asked, and which looks at the answer the study plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.core.records.study import StudyRecord
from bench.core.spec import content_hash
from reports.analysis.document import scratch_label
from reports.analysis.rows import Row


@dataclass(frozen=True)
class Question:
    """What is asked of a cell.

    Attributes:
        seeds: All that it may get, in order.
        looks: After how many of them is looked, increasing.
        race: Whether decided cells and dropped alternatives get no more seeds.
        data: Digest of what its runs are made of: as long as it is the same, a look sees what another one saw.
    """

    cell: str
    rule: str | None
    margin: float
    scratch: str | None
    seeds: Sequence[int]
    looks: Sequence[int]
    race: bool
    data: str

    @classmethod
    def of(cls, document: StudyRecord, cell: str, rows: Sequence[Row]) -> Question:
        matrix, race = document.matrix, document.race
        seeds = document.seeds or tuple(dict.fromkeys(row["seed"] for row in rows))
        looks = race.looks if race else (len(seeds),)
        rest = (scratch_label(document), seeds, looks, race is not None, _data(document, rows))
        return cls(cell, matrix.rule.get(cell), matrix.margin, *rest)

    def key(self, strategies: Iterable[str]) -> str:
        """Digest of what is asked of the data."""
        return content_hash([self.rule, sorted(strategies), self.margin])


def condition(row: Row) -> tuple[str, int, str]:
    """Where a row stands within its cell."""
    return row["dataset"], row["n_per_class"], row["backbone"]


def _data(document: StudyRecord, rows: Sequence[Row]) -> str:
    """Digest of datasets, sizes, networks and training settings of a cell's rows."""
    networks = {b.label: b for b in document.backbones}
    sets = {d.label: d for d in document.datasets}
    made_of = [
        [sets[d].name, dict(sets[d].options), n, networks[b].name, networks[b].weights, networks[b].content]
        for d, n, b in sorted({condition(row) for row in rows})
    ]
    return content_hash([made_of, vars(document.train), rows[0]["setting"]])

"""What a cell of the matrix is asked, and which looks at the answer the study plans."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.core.records.looks import digests
from bench.core.records.study import StudyRecord
from bench.core.schema import Status
from bench.core.spec import content_hash
from reports.analysis.document import scratch_label
from reports.analysis.rows import Row, condition_of

OVER = (Status.FINISHED, Status.DIVERGED)
"""What a look waits for: a result, welcome or not. A run that failed may have one after a repair."""


@dataclass(frozen=True)
class Question:
    """What is asked of a cell.

    Attributes:
        rows: Its runs, of one setting.
        seeds: All that it may get, in order.
        looks: After how many of them is looked, increasing.
        race: Whether decided cells and dropped alternatives get no more seeds.
    """

    cell: str
    rule: str | None
    margin: float
    scratch: str | None
    rows: Sequence[Row]
    seeds: Sequence[int]
    looks: Sequence[int]
    race: bool

    @classmethod
    def of(cls, document: StudyRecord, cell: str, rows: Sequence[Row]) -> Question:
        matrix, race = document.matrix, document.race
        seeds = document.seeds or tuple(dict.fromkeys(row["seed"] for row in rows))
        looks = race.looks if race else (len(seeds),)
        rule = matrix.rule.get(cell)
        return cls(cell, rule, matrix.margin, scratch_label(document), rows, seeds, looks, race is not None)

    @property
    def strategies(self) -> list[str]:
        return list(dict.fromkeys(row["strategy"] for row in self.rows))

    @property
    def alternatives(self) -> str:
        """Digests of their labels, as a look's record has them."""
        return digests(s for s in self.strategies if s != self.rule)

    def seen(self, seeds: Collection[int], without: Collection[str] = ()) -> list[Row]:
        """The rows of these seeds, but for those whose ids begin like that."""
        return [r for r in self.rows if r["seed"] in seeds and r["run_id"][:8] not in without]

    def runs(self, seeds: Sequence[int], dropped_at: Mapping[str, int]) -> str:
        """Digest of what is looked at, by strategy: of one that was dropped, its runs up to then."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            strategy = row["strategy"]
            if row["seed"] in seeds[: dropped_at.get(strategy, len(seeds))]:
                found.setdefault(strategy, []).append(row["run_id"])
        return content_hash({strategy: sorted(own) for strategy, own in found.items()})

    def over(self, strategies: Collection[str], seeds: Sequence[int], without: bool) -> bool:
        """Whether all runs of these strategies and seeds are over, in every condition in which they are planned.

        Args:
            without: Do without runs that have failed.
        """
        ends = (*OVER, Status.FAILED) if without else OVER
        planned = {
            (row["strategy"], *condition_of(row)) for row in self.rows if row["strategy"] in strategies
        }
        over = {
            (row["strategy"], *condition_of(row), row["seed"]) for row in self.rows if row["status"] in ends
        }
        return {(*place, seed) for place in planned for seed in seeds} <= over

    def failed(self, seeds: Iterable[int]) -> list[Row]:
        wanted = set(seeds)
        return [row for row in self.rows if row["seed"] in wanted and row["status"] == Status.FAILED]

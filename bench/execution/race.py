"""Seeds until decided: which runs of a study's plan are wanted now, by the looks at its verdicts that were taken.

The plan holds every seed that a strategy may get. Nothing else is kept of a race than runs and the ledger of looks: what
is wanted follows from them (`reports.analysis.looks`), so that a killed study makes the same decisions when it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.core.records.looks import Ledger
from bench.core.records.runs import RunRecord
from bench.planning.plan import Plan, PlannedRun

if TYPE_CHECKING:
    from reports.analysis.looks import Look, Looks


@dataclass(frozen=True)
class Race:
    """How far the looks have come, cell by cell. out_of_time: the hours are used up, so that no look is due any more."""

    looks: Sequence[Looks]
    out_of_time: bool = False

    @property
    def fresh(self) -> list[tuple[Looks, Look]]:
        """Looks that were taken just now, and are not in the ledger."""
        return [(looks, look) for looks in self.looks for look in looks.taken if look.record in looks.fresh]

    def seeds(self) -> dict[tuple[str, str], int]:
        """How many seeds each strategy gets, by cell and strategy."""
        return {
            (looks.name, strategy): looks.dropped_at.get(strategy, self._reached(looks))
            for looks in self.looks
            for strategy in looks.cell.strategies
        }

    def _reached(self, looks: Looks) -> int:
        taken = looks.taken[-1].seeds if looks.taken else 0
        return taken if self.out_of_time and taken else looks.due or taken


def narrowed(
    plan: Plan, runs: Iterable[RunRecord], ledger: Ledger, without_failed: bool = False
) -> tuple[Plan, Race]:
    """The plan with the runs that are wanted now, and the race.

    Args:
        plan: With what finished searches have chosen.
        runs: Stored ones, with their test accuracy and their time.
        ledger: The looks so far.
        without_failed: Looks do not wait for runs that have failed.
    """
    from reports.analysis.after_looks import out_of_time
    from reports.analysis.looks import How, look_at_study
    from reports.analysis.rows import join

    document = plan.document()
    setting = "tuned" if plan.study.tune else "default"
    rows = [row for row in join(document, runs).rows if row["setting"] == setting]
    looks = look_at_study(document, rows, ledger, How(without_failed=without_failed))
    race = Race(looks, out_of_time(document, rows, looks))
    return replace(plan, runs=_wanted(plan, race)), race


def _wanted(plan: Plan, race: Race) -> list[PlannedRun]:
    """A run that two cells share stays as long as one of them wants it.

    Where hyperparameters are searched, the race is between the tuned runs: those with defaults, which only show what the
    search was worth, are made of the first look's seeds and no more.
    """
    seeds, place = race.seeds(), {seed: i for i, seed in enumerate(plan.study.all_seeds)}
    first = plan.study.race.looks[0] if plan.study.race else 0

    def most(run: PlannedRun) -> int:
        raced = seeds.get((run.cell, run.spec.strategy.label), first)
        return min(raced, first) if plan.study.tune and run.setting == "default" else raced

    wanted = {run.run_id for run in plan.runs if place[run.spec.seed] < most(run)}
    return [run for run in plan.runs if run.run_id in wanted]


def told(race: Race) -> list[str]:
    """A line for each look that was taken just now."""
    return [_line(looks, look) for looks, look in race.fresh]


def _line(looks: Looks, look: Look) -> str:
    head = f"look at {looks.name} after {look.seeds} seeds (level {100 * look.record.level:.2g} %)"
    last = look is looks.taken[-1]
    rest = _rest(looks) if last and not looks.decided else ""
    shown = (
        f"; not better, no more seeds: {', '.join(look.shown)}" if look.shown and not looks.decided else ""
    )
    return f"{head}: {look.cell.verdict}{shown}{rest}"


def _rest(looks: Looks) -> str:
    left = [s for s in looks.cell.strategies if s not in looks.dropped_at and s != looks.cell.rule]
    if not looks.due:
        return "; that was the last look"
    return f"; up to {looks.due} seeds go {looks.cell.rule} and {', '.join(left)}"

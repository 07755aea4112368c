"""What crashes while a study is prepared, and which of its runs that concerns: those fail, and all others go on. Torch-free.

A crash is an error of the code, memory that runs out, a worker that is killed. What is wrong with the input is none: it
is a `UserError`, which ends the study before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.core.errors import last_line
from bench.planning.plan import PlannedRun

Place = frozenset[tuple[str, str]]
"""(axis, label) of all that runs must have to be concerned, as in {("backbone", "resnet18"), ("strategy", "full")}."""


@dataclass(frozen=True)
class Failure:
    """doing: what failed, in words. crash: a traceback or a cause of death."""

    doing: str
    crash: str

    def __str__(self) -> str:
        return f"{self.doing} failed: {last_line(self.crash)}"


@dataclass(frozen=True)
class Checked:
    """What checking the strategies of a backbone found. table: how its weights were loaded, for the screen.

    notes: what a reader of the report should know of that. crashed: tracebacks by the label of the strategy.
    """

    table: str = ""
    notes: list[str] = field(default_factory=list)
    crashed: dict[str, str] = field(default_factory=dict)


@dataclass
class Failures:
    """All crashes of a preparation."""

    found: dict[Place, Failure] = field(default_factory=dict)

    def add(self, doing: str, crash: str, **place: str) -> None:
        """The first failure of a place is kept: what follows from it may say less."""
        self.found.setdefault(frozenset(place.items()), Failure(doing, crash))

    def at(self, **place: str) -> Failure | None:
        """What failed for all runs with these labels."""
        return self._first(place.items())

    def of(self, run: PlannedRun) -> Failure | None:
        """Why a run cannot be executed; None: it can."""
        labels = {("dataset", run.dataset), ("strategy", run.spec.strategy.label)}
        backbones = [run.spec.backbone, *([run.spec.teacher.backbone] if run.spec.teacher else [])]
        return self._first([*labels, *(("backbone", backbone.label) for backbone in backbones)])

    def _first(self, labels: Iterable[tuple[str, str]]) -> Failure | None:
        known = set(labels)
        return next((failure for place, failure in self.found.items() if place <= known), None)

    def split(self, runs: Iterable[PlannedRun]) -> tuple[list[PlannedRun], dict[Failure, list[PlannedRun]]]:
        """-> those that can be executed, and the others by what failed."""
        able: list[PlannedRun] = []
        failed: dict[Failure, list[PlannedRun]] = {}
        for run in runs:
            failure = self.of(run) if self.found else None
            if failure:
                failed.setdefault(failure, []).append(run)
            else:
                able.append(run)
        return able, failed

    def lines(self) -> list[str]:
        """One per failure, for people."""
        return [
            f"{', '.join(f'{axis} {label}' for axis, label in sorted(place))}: {failure}"
            for place, failure in self.found.items()
        ]

"""A part of a study: `bench run --only KEY=PATTERN` executes what of it matches, and leaves the rest for later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Self

from bench.core.errors import UserError, nearest
from bench.execution.state import State
from bench.planning.plan import Plan, PlannedRun

KEYS = ("dataset", "n_per_class", "backbone", "strategy", "seed", "cell", "setting")
"""Fields of a planned run that may be named."""


@dataclass(frozen=True)
class Part:
    """Which runs and searches are executed: of each key that is named, one of its patterns (as a shell's) must match.

    A search is executed where a run that waits for it is. A run that stands for several planned ones, as one with default
    hyperparameters that a search has kept, is executed where any of them matches.
    """

    patterns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """From "dataset=*digits*" and the like. Raises `UserError` for what is none of `KEYS`."""
        found: dict[str, list[str]] = {}
        for word in words:
            key, equals, pattern = word.partition("=")
            if not equals or key not in KEYS:
                raise UserError(
                    f"--only {word}: as KEY=PATTERN, where KEY is one of {', '.join(KEYS)}{nearest(key, KEYS)}"
                )
            found.setdefault(key, []).append(pattern)
        return cls(found)

    def of(self, now: State) -> State:
        """The state with what is to be executed now."""
        if not self.patterns:
            return now
        waiting = [run for run in now.waiting if self.has(run)]
        asked = {run.run_id for run in now.plan.runs if not run.waiting and self.has(run)}
        wanted = {run.tuning.tuning_id for run in waiting if run.tuning}
        return replace(
            now,
            missing=[run for run in now.missing if run.run_id in asked],
            waiting=waiting,
            searches=[run for run in now.searches if run.tuning and run.tuning.tuning_id in wanted],
        )

    def has(self, run: PlannedRun) -> bool:
        row = run.row()
        return all(
            any(fnmatchcase(str(getattr(row, key)), pattern) for pattern in patterns)
            for key, patterns in self.patterns.items()
        )

    def check(self, plan: Plan) -> None:
        """Raises `UserError` where no run of the plan matches."""
        if self.patterns and not any(self.has(run) for run in plan.runs):
            told = ", ".join(f"{key}={p}" for key, patterns in self.patterns.items() for p in patterns)
            key, patterns = next(iter(self.patterns.items()))
            known = sorted({str(getattr(run.row(), key)) for run in plan.runs})
            raise UserError(
                f"--only: no run of study {plan.study.name!r} matches {told}; {key} is one of "
                f"{', '.join(known[:30])}{nearest(patterns[0], known)}"
            )


WHOLE = Part()
"""All of a study."""

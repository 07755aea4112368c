"""Runs, searches and measures as jobs of an executor, in which order, and what becomes of them. Imports no torch itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.core.jobs import Ended, Executor, Job, Lost, Started
from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.schema import Metric, Status
from bench.execution.baselines import FUNCTION as BASELINE
from bench.execution.baselines import Baselines
from bench.execution.display import Display
from bench.execution.failures import Failure, Failures
from bench.execution.order import longest_first
from bench.execution.pending_measures import Measures
from bench.execution.state import State
from bench.planning.grouping import AT_MOST, grouped
from bench.planning.plan import PlannedRun
from bench.storage.places import Places
from bench.tracking.plain import Tracking, run_name, search_name


@dataclass
class Queue:
    """What an executor is given, and to whom its results go.

    baselines: scores of unchanged networks that runs lack.
    measures: to be taken. measured: called once the last of them is over. failures: whose runs cannot be executed.
    """

    executor: Executor
    places: Places
    tracking: Tracking
    display: Display
    counts: Counter[str]
    failures: Failures = field(default_factory=Failures)
    baselines: Baselines | None = None
    measures: Measures | None = None
    measured: Callable[[], object] = lambda: None

    def execute(self, now: State) -> None:
        """The searches, which take longest, then the runs that need not wait for one.

        What nobody waits for is behind the first of them: every worker has begun a run, or a search, before.
        """
        able, failed = self.failures.split(now.missing)
        searches, hopeless = self.failures.split(now.searches)
        lost_waiting = {
            failure: [run for run in now.waiting if self.failures.of(run) == failure] for failure in hopeless
        }
        missing = longest_first(able, now.estimator)
        # with checkpoints to keep, each run has a network of its own
        groups = grouped(missing) if self.tracking.checkpoints == "none" else [[run] for run in missing]
        refused = [*_portions(failed), *_portions(lost_waiting)]
        members = {
            group[0].run_id: [run.row() for run in group]
            for group in [*groups, *(runs for _, runs in refused)]
        }
        for rows in members.values():
            for row in rows:
                now.estimator.expect(row)
        jobs = [*self._search_jobs(now, searches), *self._run_jobs(groups, members)]
        measuring = self.measures.jobs(self.failures) if self.measures else []
        first = self.executor.workers
        scoring = self.baselines.jobs([*missing, *now.unscored]) if self.baselines else []
        jobs[first:first] = [*self._failing_jobs(refused, members), *scoring, *measuring]
        if not jobs:
            return
        with self.display.progress("running", len(jobs)):
            self._follow(jobs, now, members, len(measuring))

    def _follow(
        self, jobs: list[Job], now: State, members: dict[str, list[PlannedRow]], measuring: int
    ) -> None:
        from bench.tracking import stale_runs

        begun: dict[str, float] = {}
        for event in self.executor.run(jobs):
            self.display.event(event)
            if isinstance(event, Started):
                begun[event.job.key] = time.monotonic()
            elif isinstance(event, Lost):
                runs = [row.run_id for row in members.get(event.job.key, [])]
                stale_runs.mark_lost_killed(self.tracking, runs, event.cause)
            elif isinstance(event, Ended) and self.measures and self.measures.is_one(event.job):
                self._measure(event, time.monotonic() - begun[event.job.key])
                measuring -= 1
                if not measuring:
                    self.measured()
            elif isinstance(event, Ended) and event.job.function == BASELINE:
                self._score(event)
            elif isinstance(event, Ended):
                self._count(event, now, members.get(event.job.key, []))

    def _score(self, event: Ended) -> None:
        assert self.baselines
        if why := self.baselines.take_in(event):
            self.display.say(f"score of the unchanged network ({event.job.label}): missing: {why}")

    def _measure(self, event: Ended, seconds: float) -> None:
        assert self.measures
        missing = self.measures.take_in(event)
        said = f"missing: {missing.why}" if missing else f"{seconds:.1f} s"
        self.display.say(f"transferability of {event.job.label}: {said}")

    def _count(self, event: Ended, now: State, rows: list[PlannedRow]) -> None:
        group: list[PlannedRow | None] = [*rows]
        for result, row in zip(_results(event, len(group)), group or [None], strict=True):
            self.counts[result.status] += 1
            seconds = result.metrics.get(Metric.TOTAL_SECONDS)
            if row:
                now.estimator.over(row)
            if row and seconds:
                now.estimator.learn(row, seconds)
            remaining = now.estimator.left(self.executor.workers)
            self.display.finished(
                run_name(row) if row else event.job.label, result, remaining if row else None
            )

    def _run_jobs(
        self, groups: list[list[PlannedRun]], members: dict[str, list[PlannedRow]]
    ) -> Iterator[Job]:
        rest = (self.places, self.tracking)
        for group in groups:
            first, rows = group[0], members[group[0].run_id]
            label = run_name(rows[0])
            if len(group) == 1:
                yield Job(first.run_id, "bench.execution.worker:run", (first.spec, rows[0], *rest), label)
            else:
                runs = [(run.spec, row) for run, row in zip(group, rows, strict=True)]
                label = f"{label} and {len(group) - 1} more"
                yield Job(first.run_id, "bench.execution.worker:run_together", (runs, *rest), label)

    def _failing_jobs(
        self, refused: list[tuple[Failure, list[PlannedRun]]], members: dict[str, list[PlannedRow]]
    ) -> Iterator[Job]:
        """They log what cannot be executed."""
        for failure, group in refused:
            key = group[0].run_id
            runs = [(run.spec, row) for run, row in zip(group, members[key], strict=True)]
            args = (runs, str(failure), failure.crash, self.tracking)
            yield Job(key, "bench.execution.worker:fail", args, run_name(members[key][0]))

    def _search_jobs(self, now: State, searches: list[PlannedRun]) -> Iterator[Job]:
        for run in searches:
            assert run.tuning and now.plan.study.tune
            row = run.row()
            workers = now.plan.study.tune.parallel
            if workers > 1:
                from bench.tracking.runs import Tracker

                Tracker(self.tracking.uri, self.tracking.experiment_id).open_search(row, run.tuning)
            for i in range(workers):
                args = (run.tuning, row, self.places, self.tracking, workers == 1)
                yield Job(
                    f"{run.tuning.tuning_id}:{i}",
                    "bench.execution.worker:search",
                    args,
                    f"search: {search_name(row)}",
                )


def _portions(failed: dict[Failure, list[PlannedRun]]) -> Iterator[tuple[Failure, list[PlannedRun]]]:
    """So many runs at a time as are trained as one: what a killed worker logs again is little."""
    for failure, runs in failed.items():
        for i in range(0, len(runs), AT_MOST):
            yield failure, runs[i : i + AT_MOST]


def _results(event: Ended, runs: int) -> list[Result]:
    """Of a job's runs, or of its search."""
    if isinstance(event.result, list):
        return event.result
    failed = Result(Status.FAILED, event.user_error or event.crash)
    return [event.result or failed] * max(1, runs)

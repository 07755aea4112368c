"""One `bench run` that holds its study: prepare, run what is missing look by look, keep the document. Imports no torch."""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.core.imports import uncollected
from bench.core.jobs import Executor
from bench.core.records.study import StudyRecord
from bench.core.schema import Status
from bench.execution import preparation, race, state
from bench.execution.baselines import Baselines
from bench.execution.display import Display
from bench.execution.failures import Failures
from bench.execution.part import WHOLE, Part
from bench.execution.pending_measures import Measures
from bench.execution.preparation import Remarks
from bench.execution.queue import Queue
from bench.execution.state import State
from bench.planning import plan as planning
from bench.planning.plan import Plan
from bench.storage.places import Places
from bench.tracking import store
from bench.tracking.plain import Tracking
from bench.tracking.store import patience, usable


@dataclass
class Summary:
    """How a `bench run` went: the runs of this call by status, and where the report is."""

    counts: Counter[str] = field(default_factory=Counter)
    report: Path | None = None
    interrupted: bool = False
    waiting: bool = False  # some searches have chosen nothing
    failures: list[str] = field(
        default_factory=list
    )  # of preparation: whose runs could not be executed, and why

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 128 + signal.SIGINT
        return 1 if self.counts[Status.FAILED] or self.waiting else 0


@dataclass
class Call:
    """One `bench run` that holds its study.

    storage: Optuna's. executor: None where nothing is to be done but the report. without_failed: looks do not wait for
    runs that have failed. part: what of the study is executed.
    """

    uri: str
    storage: str
    places: Places
    executor: Executor | None
    display: Display
    summary: Summary
    measures: Measures
    without_failed: bool = False
    part: Part = WHOLE

    def run(self, plan: Plan, now: State, known: Remarks | None) -> tuple[str, Plan]:
        """`now`: read under the lock; `known`: the stored remarks, where no run is missing. None: to be prepared.

        -> the MLflow run that will hold the report, and the plan with what preparation measured.
        """
        from bench.tracking import experiment

        uri, executor = self.uri, self.executor
        usable.check_version(uri)
        # before anything is written: what is refused leaves no store behind
        if known is None:
            assert executor
            remarks, failures = preparation.prepare(plan, self.places, executor, self.display)
        else:
            remarks, failures = known, Failures()
        self.summary.failures = failures.lines()
        experiment_id = self._open_store(plan)
        if executor and (
            plan.unmeasured or plan.undecided
        ):  # measured just now: runs find their cells and precision
            before, plan = plan, planning.make(plan.study, plan.path, plan.cache)
            _say_what_counts_no_more(before, plan, uri, self.display)
        if executor:  # preparing took its time, and may have changed the plan
            now = self.part.of(state.read(plan, uri, self.without_failed))

        def write() -> str:
            return experiment.write_study(uri, experiment_id, self._make_document(now.plan, remarks))

        study_run = write()
        self._enter_looks(now)
        if not executor:
            return study_run, plan
        study = plan.study
        tracking = Tracking(
            uri, experiment_id, study.system_metrics, study.checkpoints, self.storage, study.name
        )
        baselines = Baselines(self.places)
        queue = Queue(executor, self.places, tracking, self.display, self.summary.counts, failures, baselines)
        try:
            replace(queue, measures=self.measures, measured=write).execute(now)
        except BaseException:  # interrupted: what was measured by then is not lost
            with suppress(Exception), patience.best_effort():
                if self.measures.unsaved:
                    write()
                self._log_scores(plan, baselines)
            raise
        if self.measures.unsaved:
            write()
        tried = {run.run_id for run in [*now.missing, *now.searches]}
        while now.searches or now.race:  # what they bring is known now: runs that waited, and the next look's
            now = self.part.of(state.read(plan, uri, self.without_failed))
            self._enter_looks(now)
            write()
            missing = [run for run in now.missing if run.run_id not in tried]
            searches = [run for run in now.searches if run.run_id not in tried]
            if not missing and not searches:
                break
            tried |= {run.run_id for run in [*missing, *searches]}
            queue.execute(replace(now, missing=missing, searches=searches))
        self._log_scores(plan, baselines)
        return study_run, plan

    def _enter_looks(self, now: State) -> None:
        """Into the ledger go the looks that were taken since it was read, before anything builds on them."""
        if now.race and now.race.fresh:
            from bench.tracking import ledger

            for line in race.told(now.race):
                self.display.say(line)
            ledger.enter(self.uri, now.plan.study.name, [look.record for _, look in now.race.fresh])

    def _log_scores(self, plan: Plan, baselines: Baselines) -> None:
        """Scores of unchanged networks, for the runs that ended before these were known."""
        from bench.tracking import late

        lacking = state.read(plan, self.uri).unscored
        if scores := baselines.of(lacking):
            late.log_scores(self.uri, plan.study.name, scores)

    def _open_store(self, plan: Plan) -> str:
        """-> MLflow's id of the study's experiment, with no run left over in it; Optuna's storage is there too."""
        from bench.tracking import experiment, stale_runs

        with self.display.progress("opening the store", 1), store.translated(self.uri), uncollected():
            experiment_id = experiment.open_store(self.uri, plan.study.name, self.display.say)
            killed = stale_runs.mark_killed(self.uri, plan.study.name, alone=alone(self.uri))
        if killed:
            self.display.say(
                f"{killed} run(s) left over from a killed session are marked killed and will be repeated"
            )
        if self.storage:
            _create_optuna_storage(self.storage)
        return experiment_id

    def _make_document(self, plan: Plan, remarks: Remarks) -> StudyRecord:
        from bench.tracking import provenance

        command = store.redacted(shlex.join(["bench", *sys.argv[1:]]))  # no passwords in reports
        study = replace(
            plan.document(),
            command=command,
            store=store.redacted(self.uri),
            git_commit=provenance.git_commit(),
        )
        return self.measures.entered(remarks.entered(study))


def _say_what_counts_no_more(before: Plan, plan: Plan, uri: str, display: Display) -> None:
    """Results of one study are all in one format on a backbone; another one's are done again, or kept by hand."""
    lost = len(state.read(before, uri).done) - len(state.read(plan, uri).done)
    if lost > 0:
        display.say(
            f"{lost} stored run(s) in fp32 do not count beside bf16 and are done again; "
            "to stay with them: --set train.precision=fp32"
        )


def _create_optuna_storage(storage: str) -> None:
    """Made where it is new, as workers would do so all at once."""
    from bench.tuning import engine

    engine.open_storage(storage)


def alone(uri: str) -> bool:
    """Whether this process holds the study's lease, so that no other machine writes runs of it."""
    return store.sqlite_path(uri) is None

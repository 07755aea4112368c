"""From a plan to a finished study: prepare, run what is missing, report. Imports no torch itself."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.core.errors import UserError
from bench.core.imports import uncollected
from bench.core.jobs import Executor
from bench.core.records.study import StudyRecord
from bench.core.schema import ARTIFACT_REPORT, Status
from bench.execution import preparation, state
from bench.execution.baselines import Baselines
from bench.execution.display import Display
from bench.execution.failures import Failures
from bench.execution.pending_measures import Measures
from bench.execution.preparation import Remarks
from bench.execution.queue import Queue
from bench.execution.state import State
from bench.planning import plan as planning
from bench.planning.plan import Plan
from bench.storage import locks as lock
from bench.storage.places import Places, optuna_storage
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


def run_study(
    plan: Plan, uri: str, make_executor: Callable[[], Executor], display: Display, out: Path | None
) -> Summary:
    """Run what is missing, then write the report into `out`, if any, and log it. Ctrl-C and SIGTERM stop it cleanly.

    Raises `UserError` for input that cannot work and for a study that another process is running.
    """
    with lock.exclusive(uri, plan.study.name), _sigterm_as_ctrl_c(), ExitStack() as once_reached:
        summary = Summary()
        usable.check_store(uri)
        storage = _check_and_reach_optuna(plan, uri) if plan.study.tune else ""
        if store.sqlite_path(uri) is None:  # other machines can reach it: the lock above says nothing of them
            once_reached.enter_context(_hold_lease(plan, uri, display))
        now = state.read(plan, uri)
        once_reached.enter_context(patience.granted(display.say))
        places = Places(plan.base.absolute(), plan.cache)
        wanted = bool(plan.unmeasured or now.missing or now.searches)
        measures, known = Measures.of(plan, places), None
        if measures.missing or not wanted:
            stored = _read_stored_study(plan, uri)
            measures = Measures.of(plan, places, stored)
            known = None if wanted else Remarks.of(stored, plan)
        executor = None
        try:
            if known is None or now.unscored or not measures.settled:
                executor = _start(make_executor, display)
            call = Call(uri, storage, places, executor, display, summary, measures)
            study_run, plan = call.run(plan, now, known)
        except KeyboardInterrupt:
            summary.interrupted = True
            display.say(
                "stopping: the runs under way are marked killed, and the same command goes on from here"
            )
            return summary
        finally:
            if executor:
                executor.close()
                with patience.best_effort():
                    _mark_stale_runs_killed(plan, uri)
        if open_searches := len(state.read(plan, uri).searches) if plan.study.tune else 0:
            summary.waiting = True
            display.say(
                f"{open_searches} search(es) have chosen nothing: all trials failed, or some run elsewhere"
            )
        if out:
            with display.progress("writing the report", 1):
                summary.report = _write_report(plan, uri, study_run, out)
        return summary


def _start(make_executor: Callable[[], Executor], display: Display) -> Executor:
    """An executor whose workers, one at least, have imported all they need: they do while this process imports MLflow."""
    with display.progress("importing torch, timm and MLflow", 1):
        executor = make_executor()
        try:
            with uncollected():
                from bench.tracking import experiment, stale_runs  # noqa: F401
            preparation.ready(executor, display)
        except BaseException:
            executor.close()
            raise
    return executor


@dataclass
class Call:
    """One `bench run` that holds its study.

    storage: Optuna's. executor: None where nothing is to be done but the report.
    """

    uri: str
    storage: str
    places: Places
    executor: Executor | None
    display: Display
    summary: Summary
    measures: Measures

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
            now = state.read(plan, uri)

        def write() -> str:
            return experiment.write_study(uri, experiment_id, self._make_document(now.plan, remarks))

        study_run = write()
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
        if now.searches:
            tried = {run.run_id for run in now.missing}
            now = state.read(plan, uri)
            write()
            again = [run for run in now.missing if run.run_id not in tried]
            queue.execute(replace(now, missing=again, searches=[]))
        self._log_scores(plan, baselines)
        return study_run, plan

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
            killed = stale_runs.mark_killed(self.uri, plan.study.name, alone=_alone(self.uri))
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


def _read_stored_study(plan: Plan, uri: str) -> StudyRecord | None:
    """The document of the study as an earlier call left it."""
    with suppress(UserError):
        return store.read_study(uri, plan.study.name)
    return None


def _say_what_counts_no_more(before: Plan, plan: Plan, uri: str, display: Display) -> None:
    """Results of one study are all in one format on a backbone; another one's are done again, or kept by hand."""
    lost = len(state.read(before, uri).done) - len(state.read(plan, uri).done)
    if lost > 0:
        display.say(
            f"{lost} stored run(s) in fp32 do not count beside bf16 and are done again; "
            "to stay with them: --set train.precision=fp32"
        )


def _check_and_reach_optuna(plan: Plan, uri: str) -> str:
    """The storage of the searches. A file is not made yet, a database is reached.

    Raises `UserError` for a storage that cannot be used, and for samplers and pruners that do not exist.
    """
    from bench.tuning import engine

    assert plan.study.tune
    for run in plan.tunings.values():
        assert run.tuning
        engine.check(run.tuning)
    storage = optuna_storage(plan.study.tune.storage, uri)
    usable.check_storage(storage)
    if "://" in storage and store.sqlite_path(storage) is None:
        engine.open_storage(storage)
    return storage


def _create_optuna_storage(storage: str) -> None:
    """Made where it is new, as workers would do so all at once."""
    from bench.tuning import engine

    engine.open_storage(storage)


@contextmanager
def _hold_lease(plan: Plan, uri: str, display: Display) -> Iterator[None]:
    from bench.tracking import experiment, lease

    def lost() -> None:
        display.say("another driver took this one for dead and has the study now")
        os.kill(os.getpid(), signal.SIGTERM)

    with store.translated(uri):
        experiment_id = experiment.open_store(uri, plan.study.name, display.say)
        held = lease.held(uri, experiment_id, plan.study.name, display.say, lost)
    with held:
        yield


def _write_report(plan: Plan, uri: str, study_run: str, out: Path) -> Path:
    import reports
    from bench.tracking import experiment

    folder = reports.write(plan.study.name, uri, out)
    experiment.log_folder(uri, study_run, folder, ARTIFACT_REPORT)
    return folder


def _mark_stale_runs_killed(plan: Plan, uri: str) -> None:
    from bench.tracking import stale_runs

    stale_runs.mark_killed(uri, plan.study.name, alone=_alone(uri))


def _alone(uri: str) -> bool:
    """Whether this process holds the study's lease, so that no other machine writes runs of it."""
    return store.sqlite_path(uri) is None


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """`kill PID` stops a study as Ctrl-C does."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

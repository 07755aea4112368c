"""From a plan to a finished study: prepare, run what is missing, report. Imports no torch itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench.core.errors import UserError
from bench.core.imports import uncollected
from bench.core.jobs import Executor
from bench.core.records.study import StudyRecord
from bench.core.schema import ARTIFACT_REPORT
from bench.execution import preparation, state
from bench.execution.call import Call, Summary, alone
from bench.execution.display import Display
from bench.execution.part import WHOLE, Part
from bench.execution.pending_measures import Measures
from bench.execution.preparation import Remarks
from bench.planning.plan import Plan
from bench.storage import locks as lock
from bench.storage.places import Places, optuna_storage
from bench.tracking import store
from bench.tracking.store import patience, usable


def run_study(
    plan: Plan,
    uri: str,
    make_executor: Callable[[], Executor],
    display: Display,
    out: Path | None,
    without_failed: bool = False,
    part: Part = WHOLE,
) -> Summary:
    """Run what is missing, then write the report into `out`, if any, and log it. Ctrl-C and SIGTERM stop it cleanly.

    without_failed: looks at verdicts do not wait for runs that have failed. part: what of the study is executed.

    Raises `UserError` for input that cannot work and for a study that another process is running.
    """
    with lock.exclusive(uri, plan.study.name), _sigterm_as_ctrl_c(), ExitStack() as once_reached:
        summary = Summary()
        usable.check_store(uri)
        storage = _check_and_reach_optuna(plan, uri) if plan.study.tune else ""
        if store.sqlite_path(uri) is None:  # other machines can reach it: the lock above says nothing of them
            once_reached.enter_context(_hold_lease(plan, uri, display))
        part.check(plan)
        now = part.of(state.read(plan, uri, without_failed))
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
            call = Call(uri, storage, places, executor, display, summary, measures, without_failed, part)
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
        if open_searches := len(part.of(state.read(plan, uri)).searches) if plan.study.tune else 0:
            summary.waiting = True
            display.say(
                f"{open_searches} search(es) have chosen nothing: all trials failed, or some run elsewhere"
            )
        if out:
            with display.progress("writing the report", 1):
                summary.report = _write_report(plan, uri, study_run, out, without_failed)
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


def _read_stored_study(plan: Plan, uri: str) -> StudyRecord | None:
    """The document of the study as an earlier call left it."""
    with suppress(UserError):
        return store.read_study(uri, plan.study.name)
    return None


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


def _write_report(plan: Plan, uri: str, study_run: str, out: Path, without_failed: bool) -> Path:
    import reports
    from bench.tracking import experiment

    folder = reports.write(plan.study.name, uri, out, without_failed=without_failed)
    experiment.log_folder(uri, study_run, folder, ARTIFACT_REPORT)
    return folder


def _mark_stale_runs_killed(plan: Plan, uri: str) -> None:
    from bench.tracking import stale_runs

    stale_runs.mark_killed(uri, plan.study.name, alone=alone(uri))


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

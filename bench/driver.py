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
from typing import Any

from bench import lock, preparation, state, store
from bench.errors import UserError
from bench.executors.base import Ended, Executor, Job, Lost
from bench.order import longest_first
from bench.places import Places, optuna_storage
from bench.preparation import Remarks
from bench.run.together import grouped
from bench.schema import ARTIFACT_REPORT, Status
from bench.state import State
from bench.store import patience, usable
from bench.study import plan as planning
from bench.study.plan import Plan, PlannedRun
from bench.tracking.plain import Tracking, run_name, search_name
from bench.view import View


@dataclass
class Summary:
    """How a `bench run` went: the runs of this call by status, and where the report is."""

    counts: Counter[str] = field(default_factory=Counter)
    report: Path | None = None
    interrupted: bool = False
    waiting: bool = False  # some searches have chosen nothing

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 128 + signal.SIGINT
        return 1 if self.counts[Status.FAILED] or self.waiting else 0


def run_study(
    plan: Plan, uri: str, make_executor: Callable[[], Executor], view: View, out: Path | None
) -> Summary:
    """Run what is missing, then write the report into `out`, if any, and log it. Ctrl-C and SIGTERM stop it cleanly.

    Raises `UserError` for input that cannot work and for a study that another process is running.
    """
    with lock.exclusive(uri, plan.study.name), _sigterm_as_ctrl_c(), ExitStack() as once_reached:
        summary = Summary()
        usable.check_store(uri)
        storage = _check_optuna(plan, uri) if plan.study.tune else ""
        if store.sqlite_path(uri) is None:  # other machines can reach it: the lock above says nothing of them
            once_reached.enter_context(_lease(plan, uri, view))
        now = state.read(plan, uri)
        once_reached.enter_context(patience.granted(view.say))
        needed = plan.unmeasured or now.missing or now.searches
        executor = make_executor() if needed else None  # imports torch while we import MLflow
        try:
            study_run, plan = _run(plan, now, uri, storage, executor, view, summary.counts)
        except KeyboardInterrupt:
            summary.interrupted = True
            view.say("stopping: the runs under way are marked killed, and the same command goes on from here")
            return summary
        finally:
            if executor:
                executor.close()
                with patience.farewell():
                    _reap(plan, uri)
        if open_searches := len(state.read(plan, uri).searches) if plan.study.tune else 0:
            summary.waiting = True
            view.say(
                f"{open_searches} search(es) have chosen nothing: all trials failed, or some run elsewhere"
            )
        if out:
            summary.report = _report(plan, uri, study_run, out)
        return summary


def _run(
    plan: Plan,
    now: State,
    uri: str,
    storage: str,
    executor: Executor | None,
    view: View,
    counts: Counter[str],
) -> tuple[str, Plan]:
    """`now`: read under the lock; `storage`: Optuna's.

    -> the MLflow run that will hold the report, and the plan with what preparation measured.
    """
    from bench.tracking import experiment, leftovers

    usable.check_version(uri)
    places = Places(plan.base.absolute(), plan.cache)
    # before anything is written: what is refused leaves no store behind
    remarks = preparation.prepare(plan, places, executor, view) if executor else _known_remarks(plan, uri)
    with store.translated(uri):
        experiment_id = experiment.open_store(uri, plan.study.name, view.say)
        if killed := leftovers.reap(uri, plan.study.name, alone=_alone(uri)):
            view.say(
                f"{killed} run(s) left over from a killed session are marked killed and will be repeated"
            )
    if storage:
        _make_optuna(storage)
    if executor and (
        plan.unmeasured or plan.undecided
    ):  # measured just now: runs find their cells and numerics
        before, plan = plan, planning.make(plan.study, plan.path, plan.cache)
        _say_what_counts_no_more(before, plan, uri, view)
    if executor:  # preparing took its time, and may have changed the plan
        now = state.read(plan, uri)
    study_run = experiment.write_study(uri, experiment_id, _document(now.plan, uri, remarks))
    if not executor:
        return study_run, plan
    tracking = Tracking(
        uri, experiment_id, plan.study.system_metrics, plan.study.checkpoints, storage, plan.study.name
    )
    _execute(now, executor, places, tracking, view, counts)
    if now.searches:
        tried = {run.run_id for run in now.missing}
        now = state.read(plan, uri)
        experiment.write_study(uri, experiment_id, _document(now.plan, uri, remarks))
        again = [run for run in now.missing if run.run_id not in tried]
        _execute(replace(now, missing=again, searches=[]), executor, places, tracking, view, counts)
    return study_run, plan


def _say_what_counts_no_more(before: Plan, plan: Plan, uri: str, view: View) -> None:
    """Results of one study are all in one format on a backbone; another one's are done again, or kept by hand."""
    lost = len(state.read(before, uri).done) - len(state.read(plan, uri).done)
    if lost > 0:
        view.say(
            f"{lost} stored run(s) in fp32 do not count beside bf16 and are done again; "
            "to stay with them: --set train.numerics=fp32"
        )


def _check_optuna(plan: Plan, uri: str) -> str:
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


def _make_optuna(storage: str) -> None:
    """Made where it is new, as workers would do so all at once."""
    from bench.tuning import engine

    engine.open_storage(storage)


def _execute(
    now: State, executor: Executor, places: Places, tracking: Tracking, view: View, counts: Counter[str]
) -> None:
    """The searches, which take longest, then the runs that need not wait for one."""
    from bench.tracking import leftovers

    missing = longest_first(now.missing, now.estimator)
    # with checkpoints to keep, each run has a network of its own
    groups = grouped(missing) if tracking.checkpoints == "none" else [[run] for run in missing]
    rows = {run.run_id: run.row() for run in now.missing}
    members = {group[0].run_id: [rows[run.run_id] for run in group] for group in groups}
    for planned in rows.values():
        now.estimator.expect(planned)
    jobs = [*_search_jobs(now, places, tracking), *_run_jobs(groups, rows, places, tracking)]
    with view.progress("running", len(jobs)):
        for event in executor.run(jobs):
            view.event(event)
            if isinstance(event, Lost):
                runs = [row["run_id"] for row in members.get(event.job.key, [])]
                leftovers.abandon(tracking, runs, event.cause)
            if not isinstance(event, Ended):
                continue
            group: list[dict[str, Any] | None] = [*members.get(event.job.key, [])]
            for result, row in zip(_results(event, len(group)), group or [None], strict=True):
                counts[result["status"]] += 1
                seconds = result["metrics"].get("total_seconds")
                if row:
                    now.estimator.over(row)
                if row and seconds:
                    now.estimator.learn(row, seconds)
                remaining = now.estimator.left(executor.workers)
                view.finished(run_name(row) if row else event.job.label, result, remaining if row else None)


def _run_jobs(
    groups: list[list[PlannedRun]], rows: dict[str, dict[str, Any]], places: Places, tracking: Tracking
) -> Iterator[Job]:
    for group in groups:
        first, label = group[0], run_name(rows[group[0].run_id])
        if len(group) == 1:
            yield Job(
                first.run_id, "bench.worker:run", (first.spec, rows[first.run_id], places, tracking), label
            )
        else:
            runs = [(run.spec, rows[run.run_id]) for run in group]
            label = f"{label} and {len(group) - 1} more"
            yield Job(first.run_id, "bench.worker:run_together", (runs, places, tracking), label)


def _results(event: Ended, runs: int) -> list[dict[str, Any]]:
    """Of a job's runs, or of its search."""
    if isinstance(event.result, list):
        return event.result
    failed: dict[str, Any] = {
        "status": Status.FAILED,
        "error": event.user_error or event.crash,
        "metrics": {},
    }
    return [event.result or failed] * max(1, runs)


def _search_jobs(now: State, places: Places, tracking: Tracking) -> Iterator[Job]:
    for run in now.searches:
        assert run.tuning and now.plan.study.tune
        row = run.row()
        workers = now.plan.study.tune.parallel
        if workers > 1:
            from bench.tracking.runs import Tracker

            Tracker(tracking.uri, tracking.experiment_id).open_search(row, run.tuning)
        for i in range(workers):
            args = (run.tuning, row, places, tracking, workers == 1)
            yield Job(
                f"{run.tuning.tuning_id}:{i}", "bench.worker:search", args, f"search: {search_name(row)}"
            )


def _document(plan: Plan, uri: str, remarks: Remarks) -> dict[str, Any]:
    from bench.tracking import provenance

    command = store.redacted(shlex.join(["bench", *sys.argv[1:]]))  # no passwords in reports
    document = plan.document() | {
        "command": command,
        "store": store.redacted(uri),
        "git_commit": provenance.git_commit(),
    }
    remarks.enter(document)
    return document


def _known_remarks(plan: Plan, uri: str) -> Remarks:
    """Nothing is missing, so nothing is prepared anew: what the stored study says of its data still holds."""
    with suppress(UserError):
        return Remarks.of(store.study_document(uri, plan.study.name))
    return Remarks()


@contextmanager
def _lease(plan: Plan, uri: str, view: View) -> Iterator[None]:
    from bench.tracking import experiment, lease

    def lost() -> None:
        view.say("another driver took this one for dead and has the study now")
        os.kill(os.getpid(), signal.SIGTERM)

    with store.translated(uri):
        experiment_id = experiment.open_store(uri, plan.study.name, view.say)
        held = lease.held(uri, experiment_id, plan.study.name, view.say, lost)
    with held:
        yield


def _report(plan: Plan, uri: str, study_run: str, out: Path) -> Path:
    import reports
    from bench.tracking import experiment

    folder = reports.write(plan.study.name, uri, out)
    experiment.log_folder(uri, study_run, folder, ARTIFACT_REPORT)
    return folder


def _reap(plan: Plan, uri: str) -> None:
    from bench.tracking import leftovers

    leftovers.reap(uri, plan.study.name, alone=_alone(uri))


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

"""From a plan to a finished study: prepare, run what is missing, report. Imports no torch itself."""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import lock, preparation, state, store
from bench.errors import UserError
from bench.executors.base import Ended, Executor, Job
from bench.places import Places, optuna_storage
from bench.preparation import Remarks
from bench.schema import ARTIFACT_REPORT, Status
from bench.state import State
from bench.study import plan as planning
from bench.study.plan import Plan
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


def run_study(plan: Plan, uri: str, make_executor: Callable[[], Executor], view: View, out: Path) -> Summary:
    """Run what is missing, then write the report and log it. Ctrl-C and SIGTERM stop it cleanly.

    Raises `UserError` for input that cannot work and for a study that another process is running.
    """
    with lock.exclusive(uri, plan.study.name), _sigterm_as_ctrl_c():
        summary = Summary()
        storage = _open_optuna(plan, uri) if plan.study.tune else ""
        now = state.read(plan, uri)
        needed = plan.unmeasured or now.missing or now.searches
        executor = make_executor() if needed else None  # imports torch while we import MLflow
        try:
            study_run = _run(plan, uri, storage, executor, view, summary.counts)
        except KeyboardInterrupt:
            summary.interrupted = True
            view.say("stopping: the runs under way are marked killed, and the same command goes on from here")
            return summary
        finally:
            if executor:
                executor.close()
                _reap(plan, uri)
        if open_searches := len(state.read(plan, uri).searches) if plan.study.tune else 0:
            summary.waiting = True
            view.say(
                f"{open_searches} search(es) have chosen nothing: all trials failed, or some run elsewhere"
            )
        summary.report = _report(plan, uri, study_run, out)
        return summary


def _run(
    plan: Plan, uri: str, storage: str, executor: Executor | None, view: View, counts: Counter[str]
) -> str:
    """`storage`: Optuna's. -> the MLflow run that holds the study's document and will hold its report."""
    from bench.tracking import experiment, leftovers

    with store.translated(uri):
        experiment_id = experiment.open_store(uri, plan.study.name)
        if killed := leftovers.reap(uri, plan.study.name):
            view.say(
                f"{killed} run(s) left over from a killed session are marked killed and will be repeated"
            )
    places = Places(plan.base.absolute(), plan.cache)
    remarks = preparation.prepare(plan, places, executor, view) if executor else _known_remarks(plan, uri)
    if plan.unmeasured:  # measured just now: the runs find their cells
        plan = planning.make(plan.study, plan.path, plan.cache)
    now = state.read(plan, uri)
    study_run = experiment.write_study(uri, experiment_id, _document(now.plan, uri, remarks))
    if not executor:
        return study_run
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
    return study_run


def _open_optuna(plan: Plan, uri: str) -> str:
    """The storage of the searches, made where it is new, as workers would do so all at once.

    Raises `UserError` for a storage that cannot be used, and for samplers and pruners that do not exist.
    """
    from bench.tuning import engine

    assert plan.study.tune
    for run in plan.tunings.values():
        assert run.tuning
        engine.check(run.tuning)
    storage = optuna_storage(plan.study.tune.storage, uri)
    engine.open_storage(storage)
    return storage


def _execute(
    now: State, executor: Executor, places: Places, tracking: Tracking, view: View, counts: Counter[str]
) -> None:
    """The searches, which take longest, then the runs that need not wait for one."""
    rows = {run.run_id: run.row() for run in now.missing}
    runs = [
        Job(
            run.run_id,
            "bench.worker:run",
            (run.spec, rows[run.run_id], places, tracking),
            run_name(rows[run.run_id]),
        )
        for run in now.missing
    ]
    searches = list(_search_jobs(now, places, tracking))
    with view.progress("running", len(searches) + len(runs)):
        for event in executor.run([*searches, *runs]):
            view.event(event)
            if isinstance(event, Ended):
                row = rows.pop(event.job.key, None)
                result = event.result or {
                    "status": Status.FAILED,
                    "error": event.user_error or event.crash,
                    "metrics": {},
                }
                counts[result["status"]] += 1
                seconds = result["metrics"].get("total_seconds")
                if row and seconds:
                    now.estimator.learn(row, seconds)
                remaining = now.estimator.remaining(rows.values(), executor.workers)
                view.finished(event.job.label, result, remaining if row else None)


def _search_jobs(now: State, places: Places, tracking: Tracking) -> Iterator[Job]:
    for run in now.searches:
        assert run.tuning and now.plan.study.tune
        row = run.row()
        for i in range(now.plan.study.tune.parallel):
            args = (run.tuning, row, places, tracking)
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


def _report(plan: Plan, uri: str, study_run: str, out: Path) -> Path:
    import reports
    from bench.tracking import experiment

    folder = reports.write(plan.study.name, uri, out)
    experiment.log_folder(uri, study_run, folder, ARTIFACT_REPORT)
    return folder


def _reap(plan: Plan, uri: str) -> None:
    from bench.tracking import leftovers

    leftovers.reap(uri, plan.study.name)


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

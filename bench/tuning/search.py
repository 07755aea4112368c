"""The job of a worker that searches: ask, try out, tell, until the budget is used up. Sees no test image."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from bench.core.errors import CutShort, Pruned, StoreAway, UserError
from bench.core.jobs import STOPS, Emit
from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.records.searches import SearchRecord
from bench.core.schema import Metric, Status
from bench.core.spec import RunSpec
from bench.planning.grouping import AT_MOST, possible
from bench.planning.searches import Tuning
from bench.storage.places import Places
from bench.tracking.log import RunLog
from bench.tracking.plain import Tracking, search_name
from bench.tracking.runs import Tracker
from bench.tracking.store import patience
from bench.training.heads.conditions import NotVectorizable
from bench.training.run.execute import try_out
from bench.training.run.together import Together, gather
from bench.tuning.engine import Search
from bench.tuning.samplers import BY_SPLIT, PRUNERS

STATES = {
    Status.FINISHED: "complete",
    Status.PRUNED: "pruned",
    Status.DIVERGED: "pruned",
    Status.FAILED: "failed",
}
"""A diverged trial is told as pruned: it is worse than any that is complete, and samplers learn to stay away."""


@dataclass
class Attempt:
    """One trial under way: its splits one after the other, reported to the pruner and to MLflow.

    beside: how many are trained as one, itself among them. error: what ended it before its time.
    """

    tuning: Tuning
    trial: Any
    log: RunLog
    emit: Emit
    beside: int = 1
    epochs: int = 0
    values: list[dict[str, float]] = field(default_factory=list)
    error: Exception | None = None
    started: float = field(default_factory=time.perf_counter)

    def run(self, places: Places) -> None:
        """All splits, or as many as it takes to an `error`."""
        for split in range(self.tuning.method.splits):
            if not self.error:
                self.run_split(split, places)

    def run_split(self, split: int, places: Places) -> None:
        try:
            self.values.append(try_out(self.spec(split), places, self.record).metrics)
            if self.by_split:
                self._report(self.values[-1][Metric.VAL_ACCURACY], split)
        except Exception as error:
            self.error = error

    def spec(self, split: int) -> RunSpec:
        return self.tuning.trial(self.trial.params, split)

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the splits; {} where it has not come to its end."""
        if self.error:
            return {}
        keys = {key: None for values in self.values for key in values}  # some runs alone have some of them
        return {key: fmean(v[key] for v in self.values if key in v) for key in keys}

    @property
    def seconds(self) -> float:
        """Of training and preparation; of a trial that did not come to its end, its part of all that it took."""
        parts = (Metric.TRAIN_SECONDS, Metric.PREPARE_SECONDS)
        if not self.error:
            return sum(v[part] for v in self.values for part in parts)
        return (time.perf_counter() - self.started) / self.beside

    @property
    def samples_seen(self) -> float:
        cut_short = self.error.samples_seen if isinstance(self.error, CutShort) else 0
        return sum(v[Metric.SAMPLES_SEEN] for v in self.values) + cut_short

    @property
    def images(self) -> int:
        """Validation images, over all splits."""
        return int(sum(v.get(Metric.VAL_IMAGES, 0) for v in self.values))

    @property
    def by_split(self) -> bool:
        name = self.tuning.method.pruner
        return PRUNERS.get(name, name) in BY_SPLIT

    def record(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        self.epochs += 1
        self.log.record(self.epochs, metrics)
        self.emit(self.epochs, epochs * self.tuning.method.splits)
        if Metric.VAL_ACCURACY_EPOCH in metrics and not self.values and not self.by_split:
            self._report(metrics[Metric.VAL_ACCURACY_EPOCH], epoch)

    def _report(self, value: float, step: int) -> None:
        if self.tuning.method.pruner == "none" or self.tuning.method.objective != "accuracy":
            return
        self.trial.report(value, step)
        if self.trial.should_prune():
            raise Pruned(f"pruned at step {step}")


def run(
    emit: Emit, tuning: Tuning, row: PlannedRow, places: Places, tracking: Tracking, sole_worker: bool = True
) -> Result:
    """Search to the end of the budget, or go on where an earlier process was stopped.

    sole_worker: no other worker shares the search, so all trials that wait for none are this one's.
    """
    tracker = Tracker(tracking.uri, tracking.experiment_id)
    parent = tracker.open_search(row, tuning)
    facts = {key: getattr(row, key) for key in ("cell", "dataset", "n_per_class", "backbone", "strategy")}
    search = Search(tuning, tracking.optuna, study_name(tracking.study, row, tuning), facts, parent)
    at_most = AT_MOST if sole_worker and possible(tuning.spec) else 1

    def begin(trial: Any, beside: int, alone: str = "") -> Attempt:
        log = tracker.start_trial(parent, row, tuning.trial(trial.params, 0), trial.number, alone)
        return Attempt(tuning, trial, log, emit, beside)

    try:
        while trials := search.ask_together(at_most):
            _try(search, trials, begin, places)
    except STOPS:
        with patience.best_effort():
            search.give_up()
        with patience.best_effort():
            tracker.stop_search(parent)
        raise
    if not search.used_up:  # another worker is at its last trial, and will close the search
        return Result(Status.FINISHED)
    found = _end_of(search, parent)
    tracker.close_search(parent, found)
    status = Status.FAILED if found.error else Status.FINISHED
    return Result(status, found.error, found.metrics(), found.chosen)


def study_name(study: str, row: PlannedRow, tuning: Tuning) -> str:
    """Of the Optuna study; the identity at its end tells apart what looks alike."""
    return f"{study}: {search_name(row)} [{tuning.tuning_id}]"


def _try(search: Search, trials: Sequence[Any], begin: Callable[..., Attempt], places: Places) -> None:
    """Trials from their MLflow runs to their ends in both stores, trained as one where they can be."""
    specs, alone = [search.tuning.trial(trial.params, 0) for trial in trials], ""
    if len(trials) > 1:
        try:
            first: Together | Exception = gather(specs, places)
        except NotVectorizable as reason:
            alone = str(reason)
        except Exception as error:  # the trials fail with it
            first = error
        if not alone:
            _try_together(search, trials, begin, first, places)
            return
    for trial in trials:
        with _logging_ends(search, [begin(trial, 1, alone)]) as (attempt,):
            attempt.run(places)


def _try_together(
    search: Search,
    trials: Sequence[Any],
    begin: Callable[..., Attempt],
    first: Together | Exception,
    places: Places,
) -> None:
    with _logging_ends(search, []) as attempts:
        for trial in trials:
            attempts.append(begin(trial, len(trials)))
        try:
            if isinstance(first, Exception):
                raise first
            _run_together(attempts, first, places)
        except Exception as error:
            for attempt in attempts:
                attempt.error = attempt.error or error


def _run_together(attempts: list[Attempt], first: Together, places: Places) -> None:
    """`first`: their first split."""
    for split in range(attempts[0].tuning.method.splits):
        going_on = [attempt for attempt in attempts if not attempt.error]
        if not going_on:
            return
        try:
            together = gather([attempt.spec(split) for attempt in going_on], places) if split else first
        except NotVectorizable:  # which is rare once their first split was
            for attempt in going_on:
                attempt.run_split(split, places)
            continue
        results = together.try_out([attempt.record for attempt in going_on])
        for attempt, result in zip(going_on, results, strict=True):
            if isinstance(result, CutShort):
                attempt.error = result
            else:
                attempt.values.append(result.metrics)


@contextmanager
def _logging_ends(search: Search, attempts: list[Attempt]) -> Iterator[list[Attempt]]:
    """Their results go to both stores; if the worker is stopped meanwhile, MLflow hears that they were killed."""
    try:
        yield attempts
        for attempt in attempts:
            _end(search, attempt)
    except STOPS:
        with patience.best_effort():
            for attempt in attempts:
                attempt.log.finish(Status.KILLED, {}, "stopped by the user")
        raise
    except StoreAway:
        for attempt in attempts:
            attempt.log.abandon()
        raise


def _end(search: Search, attempt: Attempt) -> None:
    status, error, metrics = _status(attempt.error), attempt.error, attempt.metrics
    message = str(error) if error else None
    if error and not isinstance(error, CutShort | UserError):
        attempt.log.text("".join(traceback.format_exception(error)), "traceback.txt")
        message = f"{type(error).__name__}: {error}"
    attempt.log.finish(status, metrics, message)
    search.tell(
        attempt.trial,
        STATES[status],
        metrics.get(Metric.VAL_ACCURACY, float("nan")),
        metrics.get(Metric.VAL_NLL, float("nan")),
        attempt.seconds,
        attempt.samples_seen,
        attempt.images,
    )


def _status(error: Exception | None) -> Status:
    if error is None:
        return Status.FINISHED
    if isinstance(error, CutShort):
        return Status.PRUNED if isinstance(error, Pruned) else Status.DIVERGED
    return Status.FAILED


def _end_of(search: Search, parent: str) -> SearchRecord:
    """The record of a search whose budget is used up; parent: MLflow's id of its run."""
    trials = search.within_budget()
    states = [t.state.name for t in trials]
    end = SearchRecord(
        search.tuning.tuning_id,
        str(search.tuning.budget),
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        seconds=sum(t.user_attrs["spent"]["seconds"] for t in trials),
        mlflow_run_id=parent,
    )
    choice = search.chosen()
    if choice is None:
        return replace(end, error=f"none of {len(trials)} trials is complete: see their errors")
    default = next((t for t in trials if t.values and t.params == search.tuning.defaults), None)
    return replace(
        end,
        chosen=choice.candidate.params,
        chosen_trial=choice.candidate.number,
        best=choice.candidate.accuracy,
        default=default.values[0] if default else None,
        smoothed=choice.smoothed,
        smoothed_default=choice.smoothed_default,
        standard_error=choice.standard_error,
        importances=search.importances(),
    )

"""The job of a worker that searches: ask, try out, tell, until the budget is used up. Sees no test image."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from bench.errors import CutShort, Pruned, UserError
from bench.execute import try_out
from bench.executors.base import Emit
from bench.executors.pool import Stopped
from bench.places import Places
from bench.schema import Metric, Status
from bench.tracking.plain import Tracking, search_name
from bench.tracking.runs import Found, RunLog, Tracker
from bench.tuning.engine import BY_SPLIT, PRUNERS, Search
from bench.tuning.tuning import Tuning

STATES = {
    Status.FINISHED: "complete",
    Status.PRUNED: "pruned",
    Status.DIVERGED: "pruned",
    Status.FAILED: "failed",
}
"""A diverged trial is told as pruned: it is worse than any that is complete, and samplers learn to stay away."""


@dataclass
class Attempt:
    """One trial under way: its splits one after the other, reported to the pruner and to MLflow."""

    tuning: Tuning
    trial: Any
    log: RunLog
    epochs: int = 0
    values: list[dict[str, float]] = field(default_factory=list)

    def run(self, places: Places, emit: Emit) -> dict[str, float]:
        """-> means over the splits. Raises `Pruned` where the pruner says so."""
        self.emit = emit
        for split in range(self.tuning.method.splits):
            spec = self.tuning.trial(self.trial.params, split)
            self.values.append(try_out(spec, places, self._record).metrics)
            if self.by_split:
                self._report(self.values[-1][Metric.VAL_ACCURACY], split)
        return {key: fmean(v[key] for v in self.values) for key in self.values[0]}

    @property
    def by_split(self) -> bool:
        name = self.tuning.method.pruner
        return PRUNERS.get(name, name) in BY_SPLIT

    def _record(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
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
    emit: Emit, tuning: Tuning, row: dict[str, Any], places: Places, tracking: Tracking
) -> dict[str, Any]:
    """Search to the end of the budget, or go on where an earlier process was stopped. -> status, error, metrics."""
    tracker = Tracker(tracking.uri, tracking.experiment_id)
    parent = tracker.open_search(row, tuning)
    facts = {key: row[key] for key in ("cell", "dataset", "n_per_class", "backbone", "strategy")}
    search = Search(tuning, tracking.optuna, study_name(tracking.study, row, tuning), facts)
    try:
        while trial := search.ask():
            _try(search, trial, tracker, parent, row, places, emit)
    except (Stopped, KeyboardInterrupt):
        tracker.stop_search(parent)
        raise
    if not search.used_up:  # another worker is at its last trial, and will close the search
        return {"status": Status.FINISHED, "error": None, "metrics": {}}
    found = _found(search)
    tracker.close_search(parent, tuning, found)
    status = Status.FAILED if found.error else Status.FINISHED
    return {"status": status, "error": found.error, "metrics": found.metrics, "chosen": found.chosen}


def study_name(study: str, row: dict[str, Any], tuning: Tuning) -> str:
    """Of the Optuna study; the identity at its end tells apart what looks alike."""
    return f"{study}: {search_name(row)} [{tuning.tuning_id}]"


def _try(
    search: Search, trial: Any, tracker: Tracker, parent: str, row: dict[str, Any], places: Places, emit: Emit
) -> None:
    """One trial, from its MLflow run to its end in both stores."""
    tuning = search.tuning
    log = tracker.start_trial(parent, row, tuning.trial(trial.params, 0), trial.number)
    attempt = Attempt(tuning, trial, log)
    start = time.perf_counter()
    status, error, metrics, cut_short = Status.FINISHED, None, {}, 0
    try:
        metrics = attempt.run(places, emit)
    except (Stopped, KeyboardInterrupt):
        search.give_up(trial)
        log.finish(Status.KILLED, {}, "stopped by the user")
        raise
    except CutShort as end:
        status = Status.PRUNED if isinstance(end, Pruned) else Status.DIVERGED
        error, cut_short = str(end), end.image_steps
    except UserError as end:
        status, error = Status.FAILED, str(end)
    except Exception as end:
        log.text(traceback.format_exc(), "traceback.txt")
        status, error = Status.FAILED, f"{type(end).__name__}: {end}"
    log.finish(status, metrics, error)
    elapsed = time.perf_counter() - start
    search.tell(
        trial,
        STATES[status],
        metrics.get(Metric.VAL_ACCURACY, float("nan")),
        metrics.get(Metric.VAL_NLL, float("nan")),
        _seconds(attempt, elapsed),
        sum(v[Metric.IMAGE_STEPS] for v in attempt.values) + cut_short,
    )


def _seconds(attempt: Attempt, elapsed: float) -> float:
    """Of training and preparation; of a trial that did not end, all that it took."""
    done = len(attempt.values) == attempt.tuning.method.splits
    parts = (Metric.TRAIN_SECONDS, Metric.PREPARE_SECONDS)
    return sum(v[part] for v in attempt.values for part in parts) if done else elapsed


def _found(search: Search) -> Found:
    trials = search.within_budget()
    seconds = sum(t.user_attrs["spent"]["seconds"] for t in trials)
    states = [t.state.name for t in trials]
    metrics = {
        Metric.TRIALS_COMPLETE: states.count("COMPLETE"),
        Metric.TRIALS_PRUNED: states.count("PRUNED"),
        Metric.TRIALS_FAILED: states.count("FAIL"),
        Metric.TUNING_SECONDS: seconds,
    }
    best = search.best()
    if best is None:
        return Found({}, metrics, {}, f"none of {len(trials)} trials is complete: see their errors")
    metrics |= {Metric.TUNED_VAL_ACCURACY: best.value, "chosen_trial": best.number}
    default = next((t for t in trials if t.values and t.params == search.tuning.defaults), None)
    if default:
        metrics[Metric.DEFAULT_VAL_ACCURACY] = default.values[0]
    return Found(best.params, metrics, search.importances())

"""Optuna: storages, and the ask-and-tell of one search. Outside of this package nothing knows Optuna.

Each trial's sampler is made anew, seeded by the search and the number of trials before it: a search that is killed and
goes on draws what it would have drawn, whatever else runs beside it. (Optuna's samplers keep what they must remember in
the storage.) Optuna's own heartbeat works inside `study.optimize` alone; here a trial carries the mark of the process
that works on it, and whoever comes next fails the trials of dead ones and queues their hyperparameters again.
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from bench.core.errors import StoreAway, UserError
from bench.core.processes import alive, process_mark
from bench.core.secrets import redacted
from bench.planning.searches import Budget, Tuning
from bench.tracking.store.patience import patiently
from bench.tuning.choice import Choice, highest, smoothed
from bench.tuning.compat import QUEUED, set_attribute
from bench.tuning.samplers import (
    IMAGES,
    NLL,
    PRUNERS,
    blind_trials,
    candidates,
    distribution,
    make_pruner,
    make_sampler,
)
from bench.tuning.samplers import check as check
from bench.tuning.storage import PatientStorage

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.ERROR)

ENOUGH = 10
"""Complete trials below which the importance of hyperparameters is guesswork (PED-ANOVA then calls them all equal)."""

SIGNED_AFTER = 60.0
"""Seconds after which a running trial without the mark of a process has none."""

KILLED = "killed"
MARK, HOST, SPENT = "process", "host", "spent"
OWNER = "mlflow_run"
"""Attribute of an Optuna study: the MLflow run of the search that its trials belong to."""


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """The storage, made where it is new. Call it once in the parent first: two processes at once may both try.

    Raises `UserError` where it cannot be used.
    """
    try:
        if "://" in url:
            return patiently(lambda: PatientStorage(url, {"pool_pre_ping": True}))
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(url))
    except StoreAway:
        raise
    except Exception as error:  # of SQLAlchemy, its drivers, or the file system
        reason = redacted(str(error).partition("\n")[0], url)
        raise UserError(f"tune.storage: {type(error).__name__}: {reason}") from None


class Search:
    """One search, from this process. Ask for trials until there are no more; tell what became of each."""

    def __init__(
        self, tuning: Tuning, storage: str, name: str, facts: Mapping[str, Any], owner: str = ""
    ) -> None:
        """owner: MLflow's id of the search's run. Trials of another one, which was deleted there, are left alone."""
        self.tuning = tuning
        self._open: dict[int, optuna.Trial] = {}  # asked for here, and not told yet
        several = tuning.method.objective != "accuracy"
        opened = open_storage(storage)
        wanted: dict[str, Any] = {
            "storage": opened,
            "directions": ["maximize", "minimize"] if several else ["maximize"],
            "pruner": make_pruner(tuning.method.pruner, tuning.method.pruner_options),
        }
        self.study = _open_or_create_study(name, wanted)
        if owner and self.study.user_attrs.get(OWNER, owner) != owner:
            self.study = _open_or_create_study(f"{name} ({owner})", wanted)
        if owner and OWNER not in self.study.user_attrs:
            self.study.set_user_attr(OWNER, owner)
        if not self.study.trials:
            for key, value in facts.items():
                self.study.set_user_attr(key, value)
            self.study.enqueue_trial(tuning.defaults, skip_if_exists=True)
        self._requeue_lost_trials(shared="://" in storage and not storage.startswith("sqlite"))

    def _requeue_lost_trials(self, shared: bool) -> None:
        """Fail the trials of processes that are gone, and queue their hyperparameters again.

        shared: other machines may be at work on this storage, so their trials are left alone. On a file, whose study
        this machine has locked, another host is this one under a former name: a container that was started anew.
        """
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            host, mark = trial.user_attrs.get(HOST), trial.user_attrs.get(MARK)
            if mark is None:  # asked for, and then killed or about to sign
                age = datetime.now() - (trial.datetime_start or datetime.now())
                gone = abs(age.total_seconds()) > SIGNED_AFTER  # begun in the future: the clock was set back
            else:
                gone = not alive(mark) if host == platform.node() else not shared
            if gone:
                self._give_up(trial.number)

    def _give_up(self, number: int) -> None:
        """The trial does not count, and its hyperparameters are tried again."""
        trial = self.study.trials[number]
        set_attribute(self.study, trial, KILLED, True)
        self.study.tell(number, state=TrialState.FAIL)
        self.study.enqueue_trial(trial.params or trial.system_attrs.get(QUEUED, {}))

    @property
    def counted(self) -> list[FrozenTrial]:
        """The trials that are over, in order, without those whose process was killed."""
        trials = self.study.get_trials(deepcopy=False)
        return [t for t in trials if t.state.is_finished() and not t.user_attrs.get(KILLED)]

    def ask(self) -> optuna.Trial | None:
        """The next trial; None where the budget is used up. A trial that would overrun it is not begun."""
        counted = self.counted
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if (counted or running) and not self._affordable(self.tuning.budget, counted, len(running)):
            return None
        self.study.sampler = make_sampler(self.tuning, len(counted) + len(running))
        trial = self.study.ask({s.name: distribution(s) for s in self.tuning.space})
        trial.set_user_attr(HOST, platform.node())
        trial.set_user_attr(MARK, process_mark())
        self._open[trial.number] = trial
        return trial

    def ask_together(self, at_most: int) -> list[optuna.Trial]:
        """The next trials: those that would be the same, whatever became of one another. [] where the budget is used up."""
        trials: list[optuna.Trial] = []
        while len(trials) < at_most and (not trials or self._next_is_blind()) and (trial := self.ask()):
            trials.append(trial)
        return trials

    def _next_is_blind(self) -> bool:
        """Whether the next trial waits for none that is under way: neither its draw nor the budget depends on them."""
        method, budget = self.tuning.method, self.tuning.budget
        if budget.unit != "trials" or PRUNERS.get(method.pruner, method.pruner) != "NopPruner":
            return False
        trials = self.study.get_trials(deepcopy=False)
        running = sum(t.state == TrialState.RUNNING for t in trials)
        if running > len(self._open):  # other workers share the search: leave them some
            return False
        return len(self.counted) + running < blind_trials(self.tuning)

    def _affordable(self, budget: Budget, counted: list[FrozenTrial], running: int) -> bool:
        if budget.unit == "trials":
            return len(counted) + running < budget.amount
        spent = [_spent(t, budget.unit) for t in counted]
        longest = max(spent, default=0.0)
        return sum(spent) + (running + 1) * longest <= budget.amount

    def tell(
        self,
        trial: optuna.Trial,
        state: str,
        value: float,
        nll: float,
        seconds: float,
        samples_seen: float,
        images: int,
    ) -> None:
        """What became of a trial.

        Args:
            state: complete, pruned or failed.
            seconds: What the trial took.
            samples_seen: Images that its training saw.
            images: Validation images it was judged on, over all splits.
        """
        self._open.pop(trial.number, None)
        trial.set_user_attr(SPENT, {"seconds": seconds, "samples_seen": samples_seen})
        trial.set_user_attr(NLL, nll if math.isfinite(nll) else None)
        trial.set_user_attr(IMAGES, images)
        several = len(self.study.directions) > 1
        if state == "complete":
            self.study.tell(trial, [value, seconds] if several else value)
        else:  # with several objectives Optuna knows no pruned trials
            pruned = state == "pruned" and not several
            self.study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    def give_up(self) -> None:
        """The worker is being stopped: whoever goes on with this search repeats the trials that were asked for here."""
        while self._open:
            self._give_up(min(self._open))
            del self._open[min(self._open)]

    @property
    def used_up(self) -> bool:
        """Whether the search is over, for this worker and for others that share it."""
        counted = self.counted
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return bool(counted) and not running and not self._affordable(self.tuning.budget, counted, 0)

    def within_budget(self) -> list[FrozenTrial]:
        """The trials that the budget covers: all but those of an earlier, larger one."""
        budget, spent = self.tuning.budget, 0.0
        kept: list[FrozenTrial] = []
        for trial in self.counted:
            spent += 1 if budget.unit == "trials" else _spent(trial, budget.unit)
            if kept and spent > budget.amount:
                break
            kept.append(trial)
        return kept

    def chosen(self) -> Choice | None:
        """The chosen one of the trials that the budget covers; None: none is complete."""
        complete = candidates(self.within_budget())
        if not complete:
            return None
        if self.tuning.method.choice == "highest":
            return highest(complete)
        return smoothed(self.tuning.space, complete)

    def importances(self) -> dict[str, float]:
        """Share of each hyperparameter in the variance of validation accuracy (PED-ANOVA); {} where it cannot be told."""
        if sum(t.state == TrialState.COMPLETE for t in self.counted) < ENOUGH:
            return {}
        target: Callable[[FrozenTrial], float] | None = (
            (lambda t: t.values[0]) if len(self.study.directions) > 1 else None
        )
        try:
            return dict(optuna.importance.get_param_importances(self.study, target=target))
        except (ValueError, RuntimeError, ZeroDivisionError):  # too few trials, or all the same
            return {}


def _open_or_create_study(name: str, wanted: dict[str, Any]) -> optuna.Study:
    """The study of this name, made where it is new."""
    try:
        return optuna.create_study(**wanted, study_name=name, load_if_exists=True)
    except optuna.exceptions.DuplicatedStudyError:  # another worker was faster
        return optuna.load_study(study_name=name, storage=wanted["storage"], pruner=wanted["pruner"])


def _spent(trial: FrozenTrial, unit: str) -> float:
    return float(trial.user_attrs.get(SPENT, {}).get(unit, 0.0))

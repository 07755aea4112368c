"""Optuna: storages, samplers and pruners by name, and the ask-and-tell of one search. The only module that knows it.

Each trial's sampler is made anew, seeded by the search and the number of trials before it: a search that is killed and
goes on draws what it would have drawn, whatever else runs beside it. (Optuna's samplers keep what they must remember in
the storage.) Optuna's own heartbeat works inside `study.optimize` alone; here a trial carries the mark of the process
that works on it, and whoever comes next fails the trials of dead ones and queues their hyperparameters again.
"""

from __future__ import annotations

import inspect
import logging
import math
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from bench.core.errors import StoreAway, UserError, nearest
from bench.core.processes import alive, process_mark
from bench.core.secrets import redacted
from bench.core.seeds import derive
from bench.planning.search_space import Searched
from bench.planning.searches import Budget, Tuning
from bench.tracking.store.patience import patiently
from bench.tuning import plain_pickle
from bench.tuning.compat import QUEUED, pickled_optimizer, set_attribute
from bench.tuning.storage import PatientStorage

Made = TypeVar("Made")

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.ERROR)

SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "hyperband": "HyperbandPruner",
    "asha": "SuccessiveHalvingPruner",
    "percentile": "PercentilePruner",
    "wilcoxon": "WilcoxonPruner",
    "threshold": "ThresholdPruner",
    "patient": "PatientPruner",
}
IN_ORDER = {"QMCSampler"}
"""Samplers that go through one sequence, told by their seed: it is the same for all trials of a search."""

BLIND = {
    "TPESampler": "n_startup_trials",
    "GPSampler": "n_startup_trials",
    "NSGAIISampler": "population_size",
    "NSGAIIISampler": "population_size",
    "RandomSampler": "",
    "QMCSampler": "",
}
"""Samplers that draw their first trials without a look at results -> the option that says how many; "": all trials."""

SELF_ENDING = {"GridSampler", "BruteForceSampler"}
"""Samplers that end a study themselves, which Optuna allows inside `study.optimize` only."""

BY_SPLIT = {"WilcoxonPruner"}
"""Pruners that compare split by split; all others compare epoch by epoch, on the first split."""

ENOUGH = 10
"""Complete trials below which the importance of hyperparameters is guesswork (PED-ANOVA then calls them all equal)."""

SIGNED_AFTER = 60.0
"""Seconds after which a running trial without the mark of a process has none."""

KILLED = "killed"
MARK, HOST, SPENT = "process", "host", "spent"
OWNER = "mlflow_run"
"""Attribute of an Optuna study: the MLflow run of the search that its trials belong to."""


@dataclass(frozen=True)
class Told:
    """What a search knows of its trials, in its budget. `best`: by value, ties by validation NLL, then the earlier."""

    number: int
    params: dict[str, Any]
    value: float
    trials: dict[str, int]  # state -> how many


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


def check(tuning: Tuning) -> None:
    """Raises `UserError` for samplers, pruners and options that do not exist or do not go together."""
    method = tuning.method
    if SAMPLERS.get(method.sampler, method.sampler) in SELF_ENDING:
        raise UserError(
            f"tune.sampler: {method.sampler} ends a search by itself, here its budget does; use qmc or random"
        )
    sampler = _make_sampler(tuning, 0)
    pruner = _make_pruner(method.pruner, method.pruner_options)
    several = method.objective != "accuracy"
    if several and method.pruner != "none":
        raise UserError("tune.pruner: with two objectives Optuna cannot prune; use pruner: none")
    if several and isinstance(sampler, optuna.samplers.CmaEsSampler):
        raise UserError("tune.sampler: cmaes knows one objective only; use nsga2 or tpe")
    by_split = type(pruner).__name__ in BY_SPLIT
    if by_split and method.splits < 2:
        raise UserError("tune.pruner: wilcoxon compares splits; set tune.splits to 2 or more")


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
            "pruner": _make_pruner(tuning.method.pruner, tuning.method.pruner_options),
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
        self.study.sampler = _make_sampler(self.tuning, len(counted) + len(running))
        trial = self.study.ask({s.name: _distribution(s) for s in self.tuning.space})
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
        return len(self.counted) + running < _blind_trials(self.tuning)

    def _affordable(self, budget: Budget, counted: list[FrozenTrial], running: int) -> bool:
        if budget.unit == "trials":
            return len(counted) + running < budget.amount
        spent = [_spent(t, budget.unit) for t in counted]
        longest = max(spent, default=0.0)
        return sum(spent) + (running + 1) * longest <= budget.amount

    def tell(
        self, trial: optuna.Trial, state: str, value: float, nll: float, seconds: float, samples_seen: float
    ) -> None:
        """`state`: complete, pruned or failed. Time is what the trial took, samples_seen the images its training saw."""
        self._open.pop(trial.number, None)
        trial.set_user_attr(SPENT, {"seconds": seconds, "samples_seen": samples_seen})
        trial.set_user_attr("val_nll", nll if math.isfinite(nll) else None)
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

    def best(self) -> Told | None:
        """The chosen trial: highest validation accuracy; ties by validation NLL, then the earlier. None: all failed."""
        trials = self.within_budget()
        complete = [t for t in trials if t.state == TrialState.COMPLETE]
        if not complete:
            return None
        top = max(complete, key=lambda t: (t.values[0], -_nll(t), -t.number))
        states = [t.state.name.lower() for t in trials]
        return Told(top.number, dict(top.params), top.values[0], {s: states.count(s) for s in set(states)})

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


def _distribution(hyperparameter: Searched) -> BaseDistribution:
    if hyperparameter.choices is not None:
        return CategoricalDistribution(hyperparameter.choices)
    assert hyperparameter.low is not None and hyperparameter.high is not None
    if isinstance(hyperparameter.default, int):
        return IntDistribution(int(hyperparameter.low), int(hyperparameter.high), log=hyperparameter.log)
    return FloatDistribution(hyperparameter.low, hyperparameter.high, log=hyperparameter.log)


def _spent(trial: FrozenTrial, unit: str) -> float:
    return float(trial.user_attrs.get(SPENT, {}).get(unit, 0.0))


def _nll(trial: FrozenTrial) -> float:
    value = trial.user_attrs.get("val_nll")
    return math.inf if value is None else value


def _make_sampler(tuning: Tuning, number: int) -> optuna.samplers.BaseSampler:
    cls = _by_name("sampler", tuning.method.sampler, SAMPLERS, optuna.samplers)
    cls = PlainCmaEsSampler if cls is optuna.samplers.CmaEsSampler else cls
    options = dict(tuning.method.sampler_options or {})
    if "seed" in inspect.signature(cls).parameters:
        which = 0 if cls.__name__ in IN_ORDER else number
        options.setdefault("seed", derive(which, tuning.tuning_id) % 2**32)
    sampler: optuna.samplers.BaseSampler = _construct("sampler", cls, options)
    return sampler


class PlainCmaEsSampler(optuna.samplers.CmaEsSampler):
    """Optuna keeps its optimiser in the storage as a pickle; whoever can write there must not run code here."""

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            if pickled := pickled_optimizer(self, trial):
                return plain_pickle.loads(pickled)
        return None


def _blind_trials(tuning: Tuning) -> float:
    """How many trials the sampler draws from the ranges alone."""
    cls = _by_name("sampler", tuning.method.sampler, SAMPLERS, optuna.samplers)
    option = BLIND.get(cls.__name__)
    if not option:
        return 0 if option is None else math.inf
    default = inspect.signature(cls).parameters[option].default
    return int((tuning.method.sampler_options or {}).get(option, default))


def _make_pruner(name: str, options: Mapping[str, Any] | None) -> optuna.pruners.BasePruner:
    cls: type[optuna.pruners.BasePruner] = _by_name("pruner", name, PRUNERS, optuna.pruners)
    return _construct("pruner", cls, dict(options or {}))


def _by_name(kind: str, name: str, short: Mapping[str, str], module: Any) -> type[Any]:
    cls = getattr(module, short.get(name.lower(), name), None)
    base = getattr(module, f"Base{kind.capitalize()}")
    if not (inspect.isclass(cls) and issubclass(cls, base)):  # "__class__" is a class as well
        raise UserError(f"tune.{kind}: Optuna has no {kind} {name!r}{nearest(name, [*short, *dir(module)])}")
    return cls


def _construct(kind: str, cls: type[Made], options: dict[str, Any]) -> Made:
    try:
        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            return cls(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"tune.{kind}: {cls.__name__}: {str(error).strip().splitlines()[0]}") from None

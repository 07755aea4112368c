"""Optuna's samplers and pruners by name, and our own `design`: made anew for each trial, checked beforehand."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from bench.core.errors import UserError, nearest
from bench.core.seeds import derive
from bench.planning.search_space import Searched
from bench.planning.searches import DESIGN, Tuning
from bench.tuning import plain_pickle
from bench.tuning.choice import Candidate, best_so_far
from bench.tuning.compat import pickled_optimizer
from bench.tuning.design import first_settings, next_setting

Made = TypeVar("Made")

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

IMAGES, NLL = "val_images", "val_nll"
"""User attributes of a trial: validation images it was judged on, over all splits, and their mean NLL."""

BY_SPLIT = {"WilcoxonPruner"}
"""Pruners that compare split by split; all others compare epoch by epoch, on the first split."""


def check(tuning: Tuning) -> None:
    """Raises `UserError` for samplers, pruners and options that do not exist or do not go together."""
    method = tuning.method
    if SAMPLERS.get(method.sampler, method.sampler) in SELF_ENDING:
        raise UserError(
            f"tune.sampler: {method.sampler} ends a search by itself, here its budget does; use qmc or random"
        )
    sampler = make_sampler(tuning, 0)
    pruner = make_pruner(method.pruner, method.pruner_options)
    several = method.objective != "accuracy"
    if several and method.pruner != "none":
        raise UserError("tune.pruner: with two objectives Optuna cannot prune; use pruner: none")
    if several and isinstance(sampler, optuna.samplers.CmaEsSampler):
        raise UserError("tune.sampler: cmaes knows one objective only; use nsga2 or tpe")
    by_split = type(pruner).__name__ in BY_SPLIT
    if by_split and method.splits < 2:
        raise UserError("tune.pruner: wilcoxon compares splits; set tune.splits to 2 or more")


def make_sampler(tuning: Tuning, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of the trial with this number, counted without those that were killed."""
    options = dict(tuning.method.sampler_options or {})
    if tuning.method.sampler == DESIGN:
        if options:
            raise UserError(
                "tune.sampler_options: design has none; they go with one of Optuna's, as in sampler: tpe"
            )
        return DesignSampler(tuning.space)
    cls = _by_name("sampler", tuning.method.sampler, SAMPLERS, optuna.samplers)
    cls = PlainCmaEsSampler if cls is optuna.samplers.CmaEsSampler else cls
    if "seed" in inspect.signature(cls).parameters:
        which = 0 if cls.__name__ in IN_ORDER else number
        options.setdefault("seed", derive(which, tuning.tuning_id) % 2**32)
    sampler: optuna.samplers.BaseSampler = _construct("sampler", cls, options)
    return sampler


def distribution(searched: Searched) -> BaseDistribution:
    """Optuna's words for a range."""
    if searched.choices is not None:
        return CategoricalDistribution(searched.choices)
    assert searched.low is not None and searched.high is not None
    if isinstance(searched.default, int):
        return IntDistribution(int(searched.low), int(searched.high), log=searched.log)
    return FloatDistribution(searched.low, searched.high, log=searched.log)


class DesignSampler(BaseSampler):
    """Each trial takes the first setting of the design that no trial before it has taken."""

    def __init__(self, space: Sequence[Searched]) -> None:
        self._space = space

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {s.name: distribution(s) for s in self._space}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        before = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
        best = best_so_far(self._space, candidates(before))
        return next_setting(self._space, [t.params for t in before if t.params], best)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise NotImplementedError("all hyperparameters of a search are in its space")


def candidates(trials: Iterable[FrozenTrial]) -> list[Candidate]:
    """Those of the trials that are complete."""
    return [
        Candidate(
            trial.number,
            trial.params,
            trial.values[0],
            math.inf if (nll := trial.user_attrs.get(NLL)) is None else nll,
            trial.user_attrs.get(IMAGES, 0),
        )
        for trial in trials
        if trial.state == TrialState.COMPLETE
    ]


class PlainCmaEsSampler(optuna.samplers.CmaEsSampler):
    """Optuna keeps its optimiser in the storage as a pickle; whoever can write there must not run code here."""

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            if pickled := pickled_optimizer(self, trial):
                return plain_pickle.loads(pickled)
        return None


def blind_trials(tuning: Tuning) -> float:
    """How many trials the sampler draws from the ranges alone."""
    if tuning.method.sampler == DESIGN:
        return len(first_settings(tuning.space))
    cls = _by_name("sampler", tuning.method.sampler, SAMPLERS, optuna.samplers)
    option = BLIND.get(cls.__name__)
    if not option:
        return 0 if option is None else math.inf
    default = inspect.signature(cls).parameters[option].default
    return int((tuning.method.sampler_options or {}).get(option, default))


def make_pruner(name: str, options: Mapping[str, Any] | None) -> optuna.pruners.BasePruner:
    cls: type[optuna.pruners.BasePruner] = _by_name("pruner", name, PRUNERS, optuna.pruners)
    return _construct("pruner", cls, dict(options or {}))


def _by_name(kind: str, name: str, short: Mapping[str, str], module: Any) -> type[Any]:
    cls = getattr(module, short.get(name.lower(), name), None)
    base = getattr(module, f"Base{kind.capitalize()}")
    if not (inspect.isclass(cls) and issubclass(cls, base)):  # "__class__" is a class as well
        known = [DESIGN, *short] if kind == "sampler" else list(short)
        raise UserError(f"tune.{kind}: Optuna has no {kind} {name!r}{nearest(name, [*known, *dir(module)])}")
    return cls


def _construct(kind: str, cls: type[Made], options: dict[str, Any]) -> Made:
    try:
        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            return cls(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"tune.{kind}: {cls.__name__}: {str(error).strip().splitlines()[0]}") from None

"""Optuna's samplers and pruners by name, and our own `design`: made anew for each trial, checked beforehand."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

import optuna
from optuna.trial import FrozenTrial

from bench.core.errors import UserError, nearest
from bench.core.seeds import derive
from bench.planning.searches import DESIGN, Tuning
from bench.tuning import plain_pickle
from bench.tuning.choice import best_so_far
from bench.tuning.compat import pickled_optimizer
from bench.tuning.design import DesignSampler, first_settings

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
        return DesignSampler(tuning.space, partial(best_so_far, tuning.space))
    cls = _by_name("sampler", tuning.method.sampler, SAMPLERS, optuna.samplers)
    cls = PlainCmaEsSampler if cls is optuna.samplers.CmaEsSampler else cls
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

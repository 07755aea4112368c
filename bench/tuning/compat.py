"""What is used of Optuna beyond its documented interface, in one place, each part with the reason.

`tests/tuning/test_compat.py` says which part has moved.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.storages._rdb.models import TrialModel, TrialSystemAttributeModel
from optuna.trial import FrozenTrial

from bench.core.compat import VersionRange
from bench.core.compat.parts import Part

TESTED = VersionRange("optuna", "5.0", "5.0")
"""Releases of Optuna that this was tested with."""

QUEUED = "fixed_params"
"""System attribute of a trial that was queued and is not begun: its hyperparameters."""

__all__ = [
    "PARTS",
    "QUEUED",
    "TESTED",
    "TrialModel",
    "TrialSystemAttributeModel",
    "pickled_optimizer",
    "set_attribute",
]


def set_attribute(study: optuna.Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Set a user attribute of a trial that another process has asked for: Optuna does so for one's own alone."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def pickled_optimizer(sampler: optuna.samplers.CmaEsSampler, trial: FrozenTrial) -> bytes | None:
    """The optimiser that CMA-ES has kept in this trial, not unpickled; None where it has kept none."""
    begin = sampler._attr_key_optimizer
    parts = {key: value for key, value in trial.system_attrs.items() if key.startswith(begin)}
    return bytes.fromhex(sampler._concat_optimizer_attrs(parts)) if parts else None


_RDB = "optuna.storages"
_STORAGE = "wait for a database that is away, and make a trial once however often that is tried"
_CACHE = "wait for a database that is away: Optuna's cache calls it"
_CMAES = "load the optimiser of CMA-ES without running what a pickle may hold"

PARTS = (
    Part(_RDB, "RDBStorage._create_new_trial", _STORAGE, ("study_id", "template_trial")),
    Part(_RDB, "RDBStorage._get_prepared_new_trial", _STORAGE, ("study_id", "template_trial", "session")),
    Part("optuna.storages._rdb.models", "TrialModel.trial_id", _STORAGE),
    Part("optuna.storages._rdb.models", "TrialModel.study_id", _STORAGE),
    Part("optuna.storages._rdb.models", "TrialSystemAttributeModel.value_json", _STORAGE),
    Part(_RDB, "RDBStorage._get_best_trial_id", _CACHE),
    Part(_RDB, "RDBStorage._get_trials", _CACHE),
    Part(_RDB, "RDBStorage._set_trial_param", _CACHE),
    Part("optuna.samplers", "CmaEsSampler._restore_optimizer", _CMAES, ("completed_trials",)),
    Part("optuna.samplers", "CmaEsSampler._attr_key_optimizer", _CMAES),
    Part("optuna.samplers", "CmaEsSampler._concat_optimizer_attrs", _CMAES, ("optimizer_attrs",)),
)

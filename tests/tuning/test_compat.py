"""Optuna's parts beyond its documented interface: which of them has moved, in plain words."""

from __future__ import annotations

import optuna
import pytest

from bench.core.compat.parts import moved
from bench.tuning import compat
from bench.tuning.storage import IDEMPOTENT


def test_no_part_of_optuna_has_moved() -> None:
    assert not moved(compat.PARTS)


def test_an_attribute_of_a_trial_can_be_set_from_outside() -> None:
    study = optuna.create_study()
    study.ask()
    compat.set_attribute(study, study.trials[0], "killed", True)
    assert study.trials[0].user_attrs == {"killed": True}


def test_a_queued_trial_keeps_its_hyperparameters_under_the_name_that_is_known() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"lr": 0.5})
    assert study.trials[0].system_attrs[compat.QUEUED] == {"lr": 0.5}, "Optuna queues trials another way now"


def test_methods_that_wait_for_the_database_are_methods_of_optunas_storage() -> None:
    assert all(callable(getattr(optuna.storages.RDBStorage, name)) for name in IDEMPOTENT)


def test_what_moved_is_named_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(optuna.storages.RDBStorage, "_get_trials")
    (said,) = moved(compat.PARTS)
    assert said.startswith(
        "optuna.storages.RDBStorage._get_trials is not there any more; it was used to wait"
    )

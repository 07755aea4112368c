"""The bookkeeping that single runs and vectorized heads share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.core.schema import Metric
from bench.training.cost import Clock
from bench.training.device import Precision
from bench.training.epochs import Epochs, training_metrics
from tests.support.strategy_samples import make_task

CLOCK_KINDS = {False: "train", True: "prepare"}


@pytest.mark.parametrize("preparation", [False, True])
def test_a_pass_counts_as_an_epoch_and_as_training_unless_it_prepares(preparation: bool) -> None:
    epochs, clock = Epochs(make_task()), Clock(Precision(torch.device("cpu"), torch.float32))
    with epochs.training(clock, preparation):
        assert epochs.done == 0, "an epoch that is under way is not done"
    assert epochs.done == (not preparation) and list(clock.seconds) == [CLOCK_KINDS[preparation]]


def test_a_pass_that_raises_is_no_epoch() -> None:
    epochs, clock = Epochs(make_task()), Clock(Precision(torch.device("cpu"), torch.float32))
    with pytest.raises(ZeroDivisionError), epochs.training(clock):
        raise ZeroDivisionError
    assert epochs.done == 0 and clock.seconds["train"] >= 0, "but its time is spent"


def test_a_value_that_is_not_finite_ends_a_run_and_says_where() -> None:
    epochs = Epochs(make_task(), done=3, samples_seen=48)
    assert epochs.divergence("the training loss", 1e38, "full") is None
    end = epochs.divergence("the training loss", float("nan"), "full")
    assert str(end) == "the training loss is nan in epoch 3 (full)" and end and end.samples_seen == 48


def test_validation_images_that_are_trained_on_have_no_more_to_say() -> None:
    task = make_task()
    assert Epochs(task).validation_metrics(0.5, 1.0) == {
        Metric.VAL_ACCURACY_EPOCH: 0.5,
        Metric.VAL_NLL_EPOCH: 1.0,
    }
    assert Epochs(replace(task, apart=task.train)).validation_metrics(0.5, 1.0) == {}


def test_several_terms_of_a_loss_are_logged_beside_their_sum() -> None:
    one = training_metrics({"cross_entropy": 2.0}, 0.5, {"head": 0.1})
    assert one == {Metric.TRAIN_LOSS: 2.0, Metric.TRAIN_ACCURACY: 0.5, "lr/head": 0.1}
    two = training_metrics({"cross_entropy": 2.0, "l2_sp": 1.0}, 0.5, {})
    assert two == {
        Metric.TRAIN_LOSS: 3.0,
        Metric.TRAIN_ACCURACY: 0.5,
        "train/loss_cross_entropy": 2.0,
        "train/loss_l2_sp": 1.0,
    }

"""Training on cached activations of the frozen part: the same as without, for every strategy, and cheaper."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from bench.core.spec import TrainSpec
from bench.models.model import Model
from bench.training.cached_features.prefix import CLASSIFIER
from bench.training.cached_features.store import GIB, ActivationStore
from tests.support.cached_loop import FLIP, trained
from tests.support.strategy_samples import (
    NETWORKS,
    STRATEGIES,
    TRAIN,
    TRANSFORMS,
    composed,
    gentle,
    make_model,
    make_task,
    make_trainer,
)

ON_TOP = [name for name in TRANSFORMS if name not in ("stoch_norm", "tenth")]


def assert_same(
    expression: str, network: str, store: ActivationStore, train: TrainSpec = FLIP
) -> list[str | None]:
    plain, plain_log, none = trained(expression, network, None, train)
    cached, log, borders = trained(expression, network, store, train)
    _again, again_log, _ = trained(expression, network, store, train)
    assert not any(none)
    loose = (
        5e-2 if train.precision == "bf16" else 5e-3
    )  # a tiny BatchNorm network amplifies the last bit of a float
    for ours, theirs in zip(log, plain_log, strict=True):
        assert ours == pytest.approx(theirs, rel=loose, abs=loose)
    expected = plain.predict(plain.task.val)
    assert torch.allclose(
        cached.predict(cached.task.val), expected, atol=10 * loose * expected.abs().max().item()
    )
    assert again_log == log, "a run that finds everything in the cache differs from the one that filled it"
    return borders


OF_EACH_KIND = {"head_x10", "cosine", "mlp_head", "l2_sp", "mixup", "ema", "bi_tuning", "distill", "fixmatch"}
"""What changes rates, schedules, the head, the loss, the images, the weights, features; other images, other networks."""


@pytest.mark.parametrize(
    "expression",
    [
        *(pytest.param(e, marks=() if i % 2 == 0 else pytest.mark.long) for i, e in enumerate(STRATEGIES)),
        *(
            pytest.param(f"last_stages + {name}", marks=() if name in OF_EACH_KIND else pytest.mark.long)
            for name in ON_TOP
        ),
    ],
)
def test_every_strategy_trains_the_same_on_cached_activations(expression: str, tmp_path: Path) -> None:
    assert_same(expression, "test_efficientnet", ActivationStore(tmp_path, GIB))


ORDINARY = {("none", "test_resnet"), ("crop", "test_resnet"), *(("flip", network) for network in NETWORKS)}


@pytest.mark.parametrize(
    ("augment", "network"),
    [
        pytest.param(*pair, marks=() if pair in ORDINARY else pytest.mark.long)
        for pair in product(("none", "flip", "crop"), NETWORKS)
    ],
)
def test_what_is_frozen_is_cached_on_every_family(augment: str, network: str, tmp_path: Path) -> None:
    store = ActivationStore(tmp_path, GIB)
    train = replace(TRAIN, augment=augment, views=2 if augment == "crop" else 0)  # type: ignore[arg-type]
    assert assert_same("linear_probe", network, store, train) == [CLASSIFIER]
    assert assert_same("logreg", network, store, train) == [CLASSIFIER]
    (border,) = assert_same("last_stages", network, store, train)
    assert border not in (None, CLASSIFIER)
    assert assert_same("full", network, store, train) == [None]


def test_in_bf16_too(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path, GIB)
    assert assert_same("last_stages", "test_vit", store, replace(FLIP, precision="bf16")) != [None]


def test_new_crops_at_every_look_are_not_cached(tmp_path: Path) -> None:
    train = replace(TRAIN, augment="crop")
    store = ActivationStore(tmp_path, GIB)
    plain, _, _ = trained("last_stages", "test_resnet", None, train)
    cached, _, _ = trained("last_stages", "test_resnet", store, train)
    images = plain.task.val
    assert torch.allclose(plain.predict(images), cached.predict(images), atol=1e-4)
    assert not store.borrowed["train"]


def test_what_is_frozen_is_bit_identical_and_modes_are_put_back(tmp_path: Path) -> None:
    model = make_model("test_resnet")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trainer, _ = make_trainer(model, make_task(), FLIP)
    trainer.activations = ActivationStore(tmp_path, GIB)
    trainer.run(gentle("last_stages"))
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    still = {n for n, m in model.named_modules() if not any(p.requires_grad for p in m.parameters())}
    for name, value in model.state_dict().items():
        if name in frozen or name.rpartition(".")[0] in still:
            assert torch.equal(value, before[name]), name
    assert model.net.layer4[0].bn1.training and not model.net.layer1[0].bn1.training
    assert all("forward" not in module.__dict__ for module in model.modules())


def passes(model: Model) -> list[int]:
    """How many images the stem computes, call by call, from now on."""
    seen: list[int] = []
    compute = model.net.conv1[0]._conv_forward

    def counted(x: torch.Tensor, *args: object) -> torch.Tensor:
        seen.append(len(x))
        return compute(x, *args)

    model.net.conv1[0]._conv_forward = counted
    return seen


def test_the_frozen_part_runs_once_per_view_for_all_runs(tmp_path: Path) -> None:
    images = []
    for lr in (1e-2, 2e-2):
        model, task = make_model("test_resnet"), make_task(epochs=8)
        trainer, _ = make_trainer(model, task, FLIP)
        trainer.activations = ActivationStore(tmp_path, GIB)
        seen = passes(model)
        trainer.run(composed("last_stages", last_stages={"lr": lr}))
        images.append(sum(seen))
    views = 2 * len(task.train) + len(task.val)
    tries = 60  # of few images each: finding the border, comparing what is stored
    assert views <= images[0] <= views + tries
    assert images[1] <= tries
    uncached = 8 * (len(task.train) + len(task.val))
    assert images[0] < uncached / 2


def test_the_cost_of_what_others_computed_is_counted(tmp_path: Path) -> None:
    first, second = (
        trained("last_stages", "test_resnet", ActivationStore(tmp_path, GIB))[0] for _ in range(2)
    )
    assert first.activations and second.activations
    assert (
        first.activations.cached_feature_seconds("train")
        == first.activations.cached_feature_seconds("eval")
        == 0
    )
    assert (
        second.activations.cached_feature_seconds("train") > 0
        and second.activations.cached_feature_seconds("eval") > 0
    )


def test_a_network_with_a_way_past_the_border_is_not_cached(tmp_path: Path) -> None:
    model, task = make_model("test_resnet"), make_task()
    original = model.net.forward
    model.net.forward = lambda x: original(x) + x.mean((1, 2, 3))[:, None]
    trainer, _ = make_trainer(model, task, FLIP)
    trainer.activations = ActivationStore(tmp_path, GIB)
    trainer.run(gentle("last_stages"))
    assert trainer._cached is None and not list(tmp_path.glob("*/rows.npy"))


def test_dropout_in_the_frozen_part_stands_in_the_way(tmp_path: Path) -> None:
    model, task = make_model("test_resnet"), make_task()
    trainer, _ = make_trainer(model, task, FLIP)
    trainer.activations = ActivationStore(tmp_path, GIB)
    model.net.layer2.add_module("late_dropout", torch.nn.Dropout(1e-6))  # too rare to be seen on a few images
    phase = next(gentle("last_stages").phases(model, task))
    from bench.methods import freeze

    freeze.apply(model, phase)
    assert trainer._cache(phase).prefix.border == "layer3"
    model.net.layer2.late_dropout.train()
    assert trainer._cache(phase).prefix.border == "layer1"

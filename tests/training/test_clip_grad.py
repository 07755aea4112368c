"""Gradients clipped by their norm: as timm does it, of what trains alone, and enough to train at a rate that collapses."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.utils import dispatch_clip_grad
from torch import Tensor, nn

from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.methods import freeze
from bench.methods.api import Batch, Group, Phase, cross_entropy
from bench.models.model import Model
from bench.planning import compose
from bench.planning.source_recipe import recipe_of, settings
from bench.training.optimizers import clip, make_optimizer
from tests.support.strategy_samples import TRAIN, composed, make_model, make_task, make_trainer

STEEP = replace(TRAIN, optimizer="sgd")


def gradients(model: Model, phase: Phase) -> dict[str, Tensor]:
    """Of one batch, left in the parameters too."""
    task = make_task()
    freeze.apply(model, phase)
    x = task.train.at(slice(12)).float().div(255)
    target = nn.functional.one_hot(task.train.y[:12], task.num_classes).float()
    batch = Batch(x, task.train.y[:12], target, torch.ones(12))
    sum(cross_entropy(model, batch).values()).backward()  # type: ignore[union-attr]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def norm(found: dict[str, Tensor]) -> float:
    return torch.cat([g.flatten() for g in found.values()]).norm().item()


@pytest.mark.parametrize("most", [1e-3, 1e3])
def test_it_is_timms_function(most: float) -> None:
    """On the same gradients; those that are small enough stay as they are."""
    model = make_model("test_vit")
    phase = Phase("p", 1, model.groups(0.1))
    before = {name: g.clone() for name, g in gradients(model, phase).items()}
    theirs = deepcopy(model.net)
    for name, p in theirs.named_parameters():
        p.grad = before[f"net.{name}"].clone()
    dispatch_clip_grad(theirs.parameters(), most, mode="norm")
    clip(make_optimizer(phase, STEEP), replace(STEEP, clip_grad=most))
    for name, p in theirs.named_parameters():
        ours = dict(model.net.named_parameters())[name].grad
        assert ours is not None and p.grad is not None
        torch.testing.assert_close(ours, p.grad, rtol=1e-5, atol=0)
    after = {f"net.{name}": p.grad for name, p in model.net.named_parameters() if p.grad is not None}
    assert norm(after) == pytest.approx(min(norm(before), most), rel=1e-3)


def test_what_is_frozen_does_not_count() -> None:
    model = make_model("test_resnet")
    head = Phase("p", 1, [Group(list(model.classifier.parameters()), 0.1)])
    found = gradients(model, head)
    assert 0 < len(found) <= 2, "the classifier's alone"
    large = norm(found)
    clip(make_optimizer(head, STEEP), replace(STEEP, clip_grad=large * 0.99))
    assert norm({n: p.grad for n, p in model.named_parameters() if p.grad is not None}) == pytest.approx(
        large * 0.99, rel=1e-3
    )


def test_a_step_of_plain_sgd_moves_the_weights_by_the_rate_times_the_norm() -> None:
    model, task = make_model("test_convnext"), make_task(images=12, epochs=1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plain = replace(STEEP, optimizer="momentum", optimizer_kwargs={"momentum": 0.0}, schedule="constant")
    trainer, _ = make_trainer(model, task, replace(plain, clip_grad=1e-2))
    trainer.run(composed("full", full={"lr": 0.5}))  # one step
    moved = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    assert norm(moved) == pytest.approx(0.5 * 1e-2, rel=1e-3)


@pytest.mark.parametrize("network", ["test_resnet", "test_vit"])
def test_a_rate_that_collapses_trains_with_it(network: str) -> None:
    last = []
    for most in (None, 0.1):
        model, task = make_model(network), make_task(epochs=8)
        torch.manual_seed(3)
        trainer, log = make_trainer(model, task, replace(STEEP, clip_grad=most))
        trainer.run(composed("full", full={"lr": 0.3 if network == "test_vit" else 3.0}))
        last.append(log[-1]["val/accuracy"])
    collapsed, clipped = last
    assert collapsed < 0.7 and clipped == 1.0


def test_it_is_in_the_identity_only_where_it_is_on() -> None:
    off = RunSpec(
        DatasetSpec("any"),
        10,
        BackboneSpec("test_resnet", "random"),
        compose.parse("full", {}),
        0,
        TrainSpec(),
    )
    on = replace(off, train=TrainSpec(clip_grad=1.0))
    assert "clip_grad" not in str(off.identity()) and on.identity()["train"]["clip_grad"] == 1.0
    assert on.run_id != off.run_id


def test_a_source_may_be_pretrained_with_it() -> None:
    backbone = BackboneSpec(
        "test_resnet",
        "source",
        source=DatasetSpec("synthetic/source"),
        source_train={"clip_grad": 0.5},
        label="x",
    )
    _, train = settings(backbone, recipe_of(backbone))
    assert train.clip_grad == 0.5
    assert "clip_grad" not in recipe_of(replace(backbone, source_train={}))


def test_the_study_file_takes_it_and_refuses_what_is_no_norm(tmp_path: Path) -> None:
    from tests.conftest import TINY_STUDY
    from tests.support.commands import bench

    (tmp_path / "tiny.yaml").write_text(TINY_STUDY)
    refused = bench(tmp_path, "plan", "tiny.yaml", "--set", "train.clip_grad=0")
    assert refused.returncode == 2 and "clip_grad" in refused.stderr
    assert bench(tmp_path, "plan", "tiny.yaml", "--set", "train.clip_grad=1.0").returncode == 0

"""Each method against an independent computation, and the traps seen in public code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.methods import freeze
from bench.methods.api import Batch, cross_entropy
from bench.training.optimizers import make_optimizer, make_schedule
from tests.support.strategy_samples import (
    CLASSES,
    TRAIN,
    a_batch,
    composed,
    first_phase,
    make_model,
    make_task,
)


def test_l2_sp_is_the_papers_penalty() -> None:
    model = make_model("test_resnet")
    phase = first_phase("full + l2_sp", model, l2_sp={"alpha": 0.3, "beta": 0.05})
    start = {n: p.detach().double().numpy().copy() for n, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.randn(p.shape))
    expected = 0.0
    for name, p in model.named_parameters():
        w = p.detach().double().numpy()
        if w.ndim < 2:
            continue  # authors: no biases, no BatchNorm
        head = name.startswith("net.fc")
        expected += 0.5 * (0.05 * np.sum(w**2) if head else 0.3 * np.sum((w - start[name]) ** 2))
    assert phase.loss(model, a_batch())["l2_sp"].item() == pytest.approx(expected, rel=1e-4)


def test_l2_sp_gradient_pulls_towards_the_pretrained_weights() -> None:
    model = make_model("test_resnet")
    phase = first_phase("full + l2_sp", model, l2_sp={"alpha": 0.5, "beta": 0.0})
    weight = model.get_parameter("net.conv1.0.weight")
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(0.1)
    phase.loss(model, a_batch())["l2_sp"].backward()
    torch.testing.assert_close(weight.grad, 0.5 * (weight.detach() - start))


def test_l2_sp_switches_weight_decay_off() -> None:
    phase = first_phase("full + l2_sp", make_model("test_resnet"))
    assert all(group.weight_decay == 0 for group in phase.train)


def test_head_x10_multiplies_the_head_alone() -> None:
    model = make_model("test_vit")
    phase = first_phase("full + head_x10", model, full={"lr": 0.002})
    rates = {group.name: group.lr for group in phase.train}
    assert rates.pop("head") == pytest.approx(0.02)
    assert set(rates.values()) == {0.002}


def test_weight_decay_spares_biases_and_norms() -> None:
    """One SGD step with zero gradient: w - lr * decay * w for weights, unchanged for the rest."""
    model = make_model("test_resnet")
    phase = first_phase("full + weight_decay", model, full={"lr": 0.1}, weight_decay={"decay": 0.5})
    train = TRAIN.__class__(optimizer="momentum", optimizer_kwargs={"momentum": 0.0})
    optimizer = make_optimizer(phase, train)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if p.ndim > 1 else 1.0
        torch.testing.assert_close(p.detach(), before[name] * factor, msg=name)


def test_keep_norm_stats_trains_the_affine_part_on_pretrained_statistics() -> None:
    model = make_model("test_resnet")
    freeze.apply(model, first_phase("full + keep_norm_stats", model))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and all(not m.training and m.weight.requires_grad for m in norms)


def test_scratch_replaces_every_pretrained_weight() -> None:
    model = make_model("test_resnet")
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.ndim > 1}
    torch.manual_seed(9)
    next(iter(composed("scratch").phases(model, make_task())))
    assert all(not torch.equal(before[n], model.get_parameter(n)) for n in before)


def test_linear_probe_trains_the_classifier_alone() -> None:
    model = make_model("test_convnext")  # its last coarse group holds a norm besides the classifier
    phase = first_phase("linear_probe", model)
    names = {id(p): n for n, p in model.named_parameters()}
    assert {names[id(p)] for g in phase.train for p in g.params} == {"net.head.fc.weight", "net.head.fc.bias"}


def test_staged_shares_its_epochs_and_widens_what_trains() -> None:
    model = make_model("test_resnet")
    probe, joint = composed("staged", staged={"probe_share": 0.5, "unfreeze": 2}).phases(
        model, make_task(epochs=10)
    )
    assert (probe.epochs, joint.epochs) == (5, 5)
    assert [g.name for g in probe.train] == ["head"]
    assert [g.name for g in joint.train] == [s.name for s in model.stages[-2:]] + ["head"]


def test_cross_entropy_agrees_with_torch() -> None:
    model, batch = make_model("test_vit").eval(), a_batch(6)
    weights = torch.tensor([0.5, 1.0, 2.5])
    weighted = Batch(batch.x, batch.y, batch.target, weights[batch.y])
    smooth = Batch(batch.x, batch.y, batch.target * 0.9 + 0.1 / CLASSES, batch.weight)
    logits = model(batch.x)
    ce = torch.nn.functional.cross_entropy
    assert cross_entropy(model, weighted)["ce"].item() == pytest.approx(
        ce(logits, batch.y, weights).item(), rel=1e-5
    )
    assert cross_entropy(model, smooth)["ce"].item() == pytest.approx(
        ce(logits, batch.y, label_smoothing=0.1).item(), rel=1e-5
    )


def test_schedule_warms_up_and_falls_to_zero() -> None:
    steps = 100
    factor = make_schedule(TRAIN.__class__(warmup=0.1), steps)
    values = [factor(i / steps) for i in range(steps)]
    assert values[0] == pytest.approx(0.1)
    assert values[10] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.1)))
    assert max(values) <= 1 and values[-1] < 0.001
    constant = make_schedule(TRAIN.__class__(warmup=0.0, schedule="constant"), steps)
    assert {constant(i / steps) for i in range(steps)} == {1.0}

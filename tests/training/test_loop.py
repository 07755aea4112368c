"""The training loop and what surrounds it: schedules of epochs, divergence, checkpoints, scores, seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from bench.core.errors import Diverged, UserError
from bench.core.seeds import derive
from bench.core.spec import TrainSpec
from bench.methods.api import Group, Phase
from bench.training.batches import steps_per_epoch
from bench.training.cost import forward_flops
from bench.training.epochs import epoch_budget
from bench.training.evaluate import score
from bench.training.optimizers import carry_over, make_optimizer, step
from bench.training.run.head_bias import init_head_bias
from tests.support.strategy_samples import CLASSES, TRAIN, composed, make_model, make_task, make_trainer


def test_epochs_grow_until_there_are_enough_steps() -> None:
    train = TrainSpec(epochs=4, min_steps=150, batch_size=32)
    assert steps_per_epoch(80, 32) == 2 and epoch_budget(80, train) == 75
    assert steps_per_epoch(5, 32) == 1 and epoch_budget(2000, train) == 4


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "adagrad"])
def test_the_documents_optimisers_learn(optimizer: str) -> None:
    model, task = make_model("test_resnet"), make_task(epochs=6)
    trainer, log = make_trainer(model, task, replace(TRAIN, optimizer=optimizer))
    trainer.run(composed("full", full={"lr": 0.01}))
    assert log[-1]["train/loss"] < log[0]["train/loss"]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_momentum_is_torchs_where_parameters_join_late(optimizer: str) -> None:
    """A step without a gradient, and a carry-over into new parameters: the fused kernel alone refuses both."""

    def trained(**kwargs: object) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        old, late, new = (torch.nn.Parameter(torch.randn(3, 2, generator=generator)) for _ in range(3))
        train = TrainSpec(optimizer=optimizer, optimizer_kwargs=kwargs)
        first = make_optimizer(Phase("p", 1, [Group([old, late], 0.1)]), train)
        second = make_optimizer(Phase("q", 1, [Group([old, late, new], 0.1)]), train)

        def move(stepper: torch.optim.Optimizer, *moved: torch.nn.Parameter) -> None:
            for parameter in (old, late, new):
                parameter.grad = torch.randn(3, 2, generator=generator) if parameter in set(moved) else None
            step(stepper)

        move(first, old)
        move(first, old, late)
        carry_over(first, second)
        move(second, old, late, new)
        move(second, old, new)
        return [p.detach() for p in (old, late, new)]

    torch.testing.assert_close(trained(), trained(foreach=False))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "adagrad", "lamb"])
def test_a_step_of_channels_last_weights_is_torchs_own(optimizer: str) -> None:
    """Three of them; weights, gradients and moments keep their shape and their place in memory."""

    def trained(stepped: Callable[[torch.optim.Optimizer], None], **kwargs: object) -> list[torch.Tensor]:
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, (2, 3), groups=2)
        ).to(memory_format=torch.channels_last)
        phase = Phase("p", 1, [Group(list(net.parameters()), 0.1, weight_decay=0.01)])
        made = make_optimizer(phase, TrainSpec(optimizer=optimizer, optimizer_kwargs=kwargs))
        before = [(p.data_ptr(), p.shape, p.stride()) for p in net.parameters()]
        for _ in range(3):
            net(torch.randn(5, 3, 8, 8)).square().mean().backward()
            stepped(made)
            assert [(p.data_ptr(), p.shape, p.stride()) for p in net.parameters()] == before
            for p in net.parameters():
                assert p.grad is not None and p.grad.shape == p.shape
                moments = [v for v in made.state[p].values() if isinstance(v, torch.Tensor) and v.ndim]
                assert all((m.shape, m.stride()) == (p.shape, p.stride()) for m in moments)
            made.zero_grad()
        return [p.detach() for p in net.parameters()]

    plain = {} if optimizer == "lamb" else {"foreach": False}
    torch.testing.assert_close(trained(step), trained(lambda o: o.step(), **plain))


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("weights", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("gradients", [torch.channels_last, torch.contiguous_format], ids=str)
def test_a_step_moves_the_right_weights_whatever_the_layout_of_their_gradient(
    optimizer: str, weights: torch.memory_format, gradients: torch.memory_format
) -> None:
    """torch's fused kernel alone does not (docs/findings.md)."""

    def trained(**kwargs: object) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(4, 3, 3, 3, generator=generator).to(memory_format=weights))
        made = make_optimizer(
            Phase("p", 1, [Group([weight], 0.1)]), TrainSpec(optimizer=optimizer, optimizer_kwargs=kwargs)
        )
        for _ in range(3):
            weight.grad = torch.randn(4, 3, 3, 3, generator=generator).to(memory_format=gradients)
            step(made)
        return weight.detach()

    torch.testing.assert_close(trained(), trained(foreach=False))


def test_within_a_step_every_fused_tensor_is_contiguous_and_an_error_leaves_none_reordered() -> None:
    """What torch's kernel would copy otherwise; an optimiser that is not fused may look at shapes, and sees its own."""
    conv = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    seen: list[tuple[torch.Size, bool]] = []

    def look(*_: object) -> None:
        assert conv.weight.grad is not None
        tensors = conv.weight, conv.weight.grad
        seen.append((conv.weight.shape, all(t.is_contiguous() for t in tensors)))
        raise ZeroDivisionError

    for name in ("adamw", "lamb"):
        made = make_optimizer(Phase("p", 1, [Group(list(conv.parameters()), 0.1)]), TrainSpec(optimizer=name))
        made.register_step_pre_hook(look)
        conv(torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last)).sum().backward()
        with pytest.raises(ZeroDivisionError):
            step(made)
        assert conv.weight.shape == conv.weight.grad.shape == (8, 3, 3, 3)  # type: ignore[union-attr]
    assert seen == [((8, 3, 3, 3), True), ((8, 3, 3, 3), False)]


def test_an_unknown_optimiser_is_explained() -> None:
    phase = Phase("p", 1, [Group([torch.nn.Parameter(torch.ones(2, 2))], 0.1)])
    with pytest.raises(UserError, match="unknown optimizer 'adamv'; did you mean adam"):
        make_optimizer(phase, TrainSpec(optimizer="adamv"))
    with pytest.raises(UserError, match="optimizer_kwargs"):
        make_optimizer(phase, TrainSpec(optimizer="adamw", optimizer_kwargs={"nonsense": 1}))
    with pytest.raises(UserError, match="lr belongs to strategies"):
        make_optimizer(phase, TrainSpec(optimizer="adamw", optimizer_kwargs={"lr": 1.0}))
    make_optimizer(phase, TrainSpec(optimizer="adamw", optimizer_kwargs={"foreach": True}))


def test_a_loss_that_is_not_finite_is_diverged_at_the_end_of_its_epoch() -> None:
    model, task = make_model("test_vit"), make_task()
    trainer, log = make_trainer(model, task, replace(TRAIN, optimizer="momentum"))
    with pytest.raises(Diverged, match="epoch"):
        trainer.run(composed("full", full={"lr": 1e18}))
    assert not np.isfinite(log[-1]["train/loss"])


def test_a_trainer_needs_no_hint_which_terms_a_loss_has() -> None:
    model, task = make_model("test_resnet"), make_task(epochs=1)
    trainer, log = make_trainer(model, task)
    trainer.run(composed("full + l2_sp"))
    (epoch,) = log
    assert epoch["train/loss"] == pytest.approx(epoch["train/loss_ce"] + epoch["train/loss_l2_sp"], rel=1e-5)


def test_snapshots_keep_the_best_epoch_and_the_last_with_optimiser_state(tmp_path: Path) -> None:
    model, task = make_model("test_efficientnet"), make_task(epochs=3)
    trainer, log = make_trainer(model, task)
    trainer.snapshots = True
    trainer.run(composed("full"))
    assert trainer.last is not None and trainer.best is not None
    assert trainer.last.epoch == 3
    assert trainer.best.accuracy == max(epoch["val/accuracy"] for epoch in log)
    trainer.last.save(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(saved[k], v) for k, v in model.net.state_dict().items())
    state = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    assert state["epoch"] == 3 and state["optimizer"]["state"]


def test_scores_agree_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, y = torch.randn(200, 4, generator=generator) * 2, torch.randint(0, 4, (200,), generator=generator)
    found, p = score(logits, y), logits.double().softmax(-1).numpy()
    assert found.accuracy == pytest.approx(accuracy_score(y, p.argmax(1)))
    assert found.mean_class_accuracy == pytest.approx(balanced_accuracy_score(y, p.argmax(1)))
    assert found.nll == pytest.approx(log_loss(y, p), rel=1e-5)


def test_calibration_error_of_known_cases() -> None:
    sure_and_right = score(torch.tensor([[50.0, 0.0]] * 10), torch.zeros(10, dtype=torch.int64))
    sure_and_half_right = score(torch.tensor([[50.0, 0.0]] * 10), torch.arange(10) % 2)
    assert sure_and_right.ece == pytest.approx(0, abs=1e-6)
    assert sure_and_half_right.ece == pytest.approx(0.5, abs=1e-6)


def test_calibration_error_agrees_with_a_plain_computation() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, y = torch.randn(300, 3, generator=generator), torch.randint(0, 3, (300,), generator=generator)
    p = logits.softmax(-1).numpy()
    confidence, right = p.max(1), p.argmax(1) == y.numpy()
    expected = 0.0
    for low, high in zip(np.arange(15) / 15, np.arange(1, 16) / 15, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert score(logits, y).ece == pytest.approx(expected, abs=1e-5)


def test_class_balance_weighs_classes_by_rarity() -> None:
    model, task = make_model("test_resnet"), make_task()
    few = task.train.subset(torch.tensor([0, 3, 6, 9, 1, 2]))  # classes 0, 0, 0, 0, 1, 2
    trainer, _ = make_trainer(model, replace(task, train=few), replace(TRAIN, class_balance="loss"))
    assert trainer.batches.class_weight.tolist() == pytest.approx([0.5, 2.0, 2.0])


@pytest.mark.parametrize(("choice", "expected"), [("zero", 0.0), ("prior", float(np.log(1 / CLASSES)))])
def test_head_bias_initialisation(choice: str, expected: float) -> None:
    model, task = make_model("test_vit"), make_task()
    init_head_bias(model, task, replace(TRAIN, head_bias=choice))
    assert model.get_parameter("net.head.bias").tolist() == pytest.approx([expected] * CLASSES)


def test_a_head_that_is_drawn_anew_gets_its_bias_too() -> None:
    """Training from scratch re-initialises the head after the harness set its bias."""
    model, task = make_model("test_resnet"), make_task()
    model.on_new_head = lambda m: init_head_bias(m, task, replace(TRAIN, head_bias="prior"))
    model.reinitialise()
    assert model.get_parameter("net.fc.bias").tolist() == pytest.approx(
        [float(np.log(1 / CLASSES))] * CLASSES
    )


def test_derived_seeds_differ_by_purpose_and_seed_and_are_stable() -> None:
    assert derive(0, "model") == 3200089589267789654
    assert len({derive(s, p) for s in range(50) for p in ("model", "order")}) == 100


def test_flops_count_every_weight_of_every_token() -> None:
    """A multiply-add counts two, and each of the blocks' weights meets more than one token."""
    model = make_model("test_vit")
    small = forward_flops(model)
    assert small > 2 * sum(p.numel() for p in model.net.blocks.parameters())

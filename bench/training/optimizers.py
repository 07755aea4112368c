"""Optimiser and learning-rate schedule of one phase."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import nn, optim

from bench.core.errors import UserError, nearest
from bench.core.spec import TrainSpec
from bench.methods.api import Group, Phase, Schedule

RESERVED = {"lr", "weight_decay", "params"}
NOT_FUSED = {
    "foreach",
    "differentiable",
    "dampening",
}  # with dampening, momentum from zero is not torch's first step


def make_optimizer(phase: Phase, train: TrainSpec) -> optim.Optimizer:
    """timm's optimiser over the phase's groups; each keeps its own rate as `base_lr`.

    Raises `UserError` for an optimiser that timm does not know, or arguments that it does not take.
    """
    for key in RESERVED & train.optimizer_kwargs.keys():
        raise UserError(
            f"train.optimizer_kwargs: {key} belongs to strategies (hyperparameters full.lr, weight_decay.decay, ...)"
        )
    groups = [g for group in phase.train for g in _param_groups(group)]
    try:
        optimizer = create_optimizer_v2(
            groups, opt=train.optimizer, **(_fused(train) | train.optimizer_kwargs)
        )
    except ValueError as error:
        known = [str(name) for name in list_optimizers()]
        if train.optimizer.lower() in known:
            raise UserError(f"train.optimizer_kwargs: {error}") from None
        raise UserError(f"unknown optimizer {train.optimizer!r}{nearest(train.optimizer, known)}") from None
    except (TypeError, RuntimeError) as error:
        raise UserError(f"train.optimizer_kwargs: {error}") from None
    _start_momentum(optimizer)
    return optimizer


def _start_momentum(optimizer: optim.Optimizer) -> None:
    """Momentum from zero, not from nothing: the fused kernel refuses a group in which only some parameters have any,
    as after `carry_over` into new parameters, or where a step gave a parameter no gradient."""
    for group in optimizer.param_groups if isinstance(optimizer, optim.SGD) else ():
        if group["fused"] and group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _fused(train: TrainSpec) -> dict[str, bool]:
    """One kernel for all parameters where torch has one: a step of many small tensors is several times faster."""
    known = train.optimizer.lower() in ("sgd", "momentum", "adam", "adamw", "adagrad")
    return {"fused": True} if known and not NOT_FUSED & train.optimizer_kwargs.keys() else {}


def _param_groups(group: Group) -> list[dict[str, object]]:
    """Split off biases and normalisation parameters (at most one dimension): they are never decayed."""
    decayed = [p for p in group.params if p.ndim > 1]
    others = [p for p in group.params if p.ndim <= 1]
    shared = {"lr": group.lr, "base_lr": group.lr, "name": group.name}
    parts: list[tuple[list[nn.Parameter], float]] = [(decayed, group.weight_decay), (others, 0.0)]
    return [{"params": params, "weight_decay": decay, **shared} for params, decay in parts if params]


def make_schedule(train: TrainSpec, steps: int) -> Schedule:
    """Linear warm-up over a share of the phase's steps, then cosine to zero or constant."""
    warmup = max(1, round(train.warmup * steps)) / steps if train.warmup else 0.0

    def factor(progress: float) -> float:
        ramp = min(1.0, (progress + 1 / steps) / warmup) if warmup else 1.0
        decay = 0.5 * (1 + math.cos(math.pi * progress)) if train.schedule == "cosine" else 1.0
        return ramp * decay

    return factor


def carry_over(old: optim.Optimizer, new: optim.Optimizer) -> None:
    """Momentum and second moments of the parameters that both train; the others start without."""
    for group in new.param_groups:
        for parameter in group["params"]:
            if parameter in old.state:
                new.state[parameter] = old.state[parameter]


def step(optimizer: optim.Optimizer) -> None:
    """One step, right whatever the layout of a gradient, and in which no weight is copied on a CPU.

    torch's fused kernels there (2.13) read raw memory, so that a gradient in another layout than its weight moves the wrong
    elements; and they copy what is not contiguous, as dense channels-last kernels are not, in and out again: an SGD step of
    resnet18 takes 4 times as long (16.6 against 4.3 ms on one core with AVX-512).
    """
    fused = [
        group for group in optimizer.param_groups if group.get("fused")
    ]  # these act on each number alone
    with _contiguous([p for group in fused for p in group["params"]], optimizer):
        optimizer.step()


@contextmanager
def _contiguous(parameters: list[nn.Parameter], optimizer: optim.Optimizer) -> Iterator[None]:
    """Channels-last weights, their gradients and moments are seen as what they are in memory: [out, height, width, in]."""
    moved = [p for p in parameters if p.is_cpu and p.grad is not None]
    seen = [p for p in moved if p.ndim == 4 and not p.is_contiguous()]
    seen = [p for p in seen if p.is_contiguous(memory_format=torch.channels_last)]
    for parameter in seen:
        _reorder(parameter, optimizer, (0, 2, 3, 1))
    for parameter in moved:
        if parameter.is_contiguous() and parameter.grad is not None:
            parameter.grad = parameter.grad.contiguous()
    try:
        yield
    finally:
        for parameter in seen:
            _reorder(parameter, optimizer, (0, 3, 1, 2))


def _reorder(parameter: nn.Parameter, optimizer: optim.Optimizer, axes: tuple[int, ...]) -> None:
    gradient, parameter.grad = parameter.grad, None  # which must always have its parameter's shape
    parameter.data = parameter.data.permute(axes)
    parameter.grad = gradient if gradient is None else gradient.permute(axes)
    state = optimizer.state.get(parameter, {})
    for name, value in state.items():
        if isinstance(value, torch.Tensor) and value.ndim == parameter.ndim:
            state[name] = value.permute(axes)


def clip(optimizer: optim.Optimizer, train: TrainSpec) -> None:
    """Scale the gradients of all that trains down to `train.clip_grad`, the largest norm of them together.

    As timm's `dispatch_clip_grad` in its mode "norm". What is frozen has no gradient, so it does not count.
    """
    if train.clip_grad is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, train.clip_grad)


def set_learning_rates(optimizer: optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor

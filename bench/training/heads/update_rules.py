"""torch's SGD and Adam as one fused step of one tensor, whose own learning rate is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, optim

from bench.core.compat.torch import adam, sgd
from bench.core.spec import TrainSpec
from bench.methods.api import Group, Phase
from bench.training.optimizers import make_optimizer

WeightDecay = Literal["coupled", "decoupled"]

SETTINGS = {
    optim.SGD: ("momentum", "nesterov"),
    optim.Adam: ("betas", "eps"),
    optim.AdamW: ("betas", "eps"),
}
"""What is read from an optimiser. Whatever else it has must be off, as it is by default: see `OFF`."""

OFF = ("dampening", "amsgrad", "maximize", "differentiable")


@dataclass(frozen=True)
class UpdateRule:
    """An optimiser without its learning rates and decays.

    decay: "coupled" adds it to the gradient (SGD, Adam), "decoupled" shrinks the weights before the step (AdamW).
    """

    algorithm: Literal["sgd", "adam"]
    decay: WeightDecay = "coupled"
    settings: dict[str, Any] = field(default_factory=dict)

    def state(self, parameter: Tensor) -> OptimizerState:
        """What the optimiser remembers of `parameter`, before its first step."""
        moments = [torch.zeros_like(parameter) for _ in range(1 if self.algorithm == "sgd" else 2)]
        return OptimizerState(self, moments, torch.zeros((), device=parameter.device))


@dataclass
class OptimizerState:
    """The moments of one tensor: momentum of SGD; first and second of Adam, and its count of steps."""

    rule: UpdateRule
    moments: list[Tensor]
    steps: Tensor

    def step(self, parameter: Tensor, gradient: Tensor, lr: float) -> None:
        """One step in place, without weight decay: that differs from column to column and is the caller's."""
        if self.rule.algorithm == "sgd":
            sgd(
                [parameter], [gradient], [*self.moments], fused=True, foreach=False, weight_decay=0.0,
                lr=lr, dampening=0.0, maximize=False, **self.rule.settings,
            )  # fmt: skip
        else:
            (beta1, beta2), first, second = self.rule.settings["betas"], *self.moments
            adam(
                [parameter], [gradient], [first], [second], [], [self.steps], fused=True, foreach=False,
                amsgrad=False, beta1=beta1, beta2=beta2, eps=self.rule.settings["eps"], lr=lr, weight_decay=0.0,
                maximize=False,
            )  # fmt: skip

    def map(self, change: Callable[[Tensor], Tensor]) -> None:
        """Each moment replaced by `change` of it."""
        self.moments = [change(moment) for moment in self.moments]


def update_rule_of(train: TrainSpec) -> UpdateRule | None:
    """The rule of a study's optimiser, with timm's defaults; None where it is none of these, or has options on.

    Raises `UserError` where timm cannot make that optimiser, as a run would.
    """
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    optimizer = make_optimizer(Phase("head", 1, [Group([parameter], 1.0, name="head")]), train)
    group = optimizer.param_groups[0]
    if type(optimizer) not in SETTINGS or any(group.get(key) for key in OFF):
        return None
    settings = {key: group[key] for key in SETTINGS[type(optimizer)]}
    if isinstance(optimizer, optim.SGD):
        return UpdateRule("sgd", "coupled", settings)
    return UpdateRule("adam", "decoupled" if group.get("decoupled_weight_decay") else "coupled", settings)

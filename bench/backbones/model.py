"""A timm network as strategies see it: stages from stem to last, a head, and the weights it started from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Group
from bench.backbones.report import LoadReport
from bench.backbones.stages import Stage, split
from bench.errors import UserError

__all__ = ["Model", "Stage"]


class _Shared(dict[str, Tensor]):
    """Tensors that nobody writes to: copies of a model share them instead of copying."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


class Model(nn.Module):
    """Wraps a timm net. Parameter names, in stages too, are as in `named_parameters()`: "net.<timm's name>".

    stages: body, from the stem up. head: the classifier alone. pretrained: the body's parameters by name as
    they were loaded (L2-SP's w0); it follows the model to its device, is no part of `state_dict()`, and stays
    what it was when weights are reinitialised.
    """

    def __init__(
        self,
        net: nn.Module,
        create: Callable[[], nn.Module],
        num_classes: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        image_size: int,
        load_report: LoadReport,
    ) -> None:
        """`create` builds another net of the same architecture with fresh random weights."""
        super().__init__()
        self.net = net
        self._create = create
        self.num_classes = num_classes
        self.mean, self.std, self.image_size = mean, std, image_size
        self.load_report = load_report
        self.on_new_head: Callable[[Model], None] | None = None  # applied to every head drawn from now on
        self.stages, self.head = split(net, prefix="net.")
        body = [name for stage in self.stages for name in stage.param_names]
        self.pretrained = _Shared({name: self.get_parameter(name).detach().clone() for name in body})

    def forward(self, x: Tensor) -> Tensor:
        """x [B, 3, H, W] -> logits [B, K]."""
        return self.net(x)

    def features(self, x: Tensor) -> Tensor:
        """x [B, 3, H, W] -> pooled features [B, D] that the classifier takes, in the model's current mode."""
        return self.net.forward_head(self.net.forward_features(x), pre_logits=True).flatten(1)

    def stage_parameters(self, stage: Stage) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name in stage.param_names]

    def groups(self, lr: float, first: int = 0, head_lr: float | None = None) -> list[Group]:
        """A group per stage from index `first` up at `lr`, and the head at `head_lr`, else also at `lr`.

        Raises `UserError` where `first` is not in 0..number of stages (which leaves only the head).
        """
        self._check_first(first)
        rates = [(stage, lr) for stage in self.stages[first:]] + [
            (self.head, lr if head_lr is None else head_lr)
        ]
        return [Group(self.stage_parameters(s), rate, name=s.name) for s, rate in rates if s.param_names]

    @torch.no_grad()
    def reinitialise(self, first: int = 0) -> None:
        """Weights and buffers of the stages from index `first` up, and of the head, become fresh random ones.

        They are drawn from torch's current random state, as the architecture's constructor does;
        `reinitialise()` is training from scratch. The tensors stay the same objects. Raises `UserError` like
        `groups`.
        """
        self._check_first(first)
        fresh = self._create()
        tensors = dict([*self.named_parameters(), *self.named_buffers()])
        fresh_tensors = dict([*fresh.named_parameters(prefix="net"), *fresh.named_buffers(prefix="net")])
        for stage in (*self.stages[first:], self.head):
            for name in (*stage.param_names, *stage.buffer_names):
                tensors[name].copy_(fresh_tensors[name])
        if self.on_new_head:
            self.on_new_head(self)

    def _check_first(self, first: int) -> None:
        if not 0 <= first <= len(self.stages):
            names = f"{self.stages[0].name}..{self.stages[-1].name}"
            raise UserError(f"first stage is {first}, but the model has {len(self.stages)} stages ({names})")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Model:
        super()._apply(fn, recurse)
        self.pretrained = _Shared({name: fn(tensor) for name, tensor in self.pretrained.items()})
        return self

"""Stochastic normalisation in the place of BatchNorm."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.compat.torch import AnyBatchNorm

if TYPE_CHECKING:
    Base = AnyBatchNorm
else:
    Base = object


class StochNormMixin(Base):
    """In front of a BatchNorm class: its state, its activation (timm's BatchNormAct2d), other statistics in training."""

    p: float
    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    act: nn.Module
    drop: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            plain: Tensor = super().forward(x)
            return plain
        by_moving = F.batch_norm(x, self.running_mean.clone(), self.running_var.clone(), eps=self.eps)
        by_batch = F.batch_norm(
            x, self.running_mean, self.running_var, None, None, True, self.momentum, self.eps
        )
        self.num_batches_tracked += 1
        shape = (1, -1, *([1] * (x.ndim - 2)))
        chosen = (torch.rand(x.shape[1]) < self.p).to(x.device).view(shape)
        out = torch.where(chosen, by_batch, by_moving)
        out = out * self.weight.view(shape) + self.bias.view(shape)
        if hasattr(self, "act"):
            acted: Tensor = self.act(self.drop(out))
            return acted
        return out


def convert(net: nn.Module, p: float) -> int:
    """Turns every affine BatchNorm of `net` into a stochastic one, in place. -> how many."""
    found = [m for m in net.modules() if isinstance(m, AnyBatchNorm) and m.affine]
    for module in found:
        module.__class__ = type(f"Stoch{type(module).__name__}", (StochNormMixin, type(module)), {})
        assert isinstance(module, StochNormMixin)
        module.p = p
    return len(found)

"""Stochastic normalisation in the place of BatchNorm."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StochNormMixin:
    """In front of a BatchNorm class: its state, its activation (timm's BatchNormAct2d), other statistics in training."""

    p: float

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        by_moving = F.batch_norm(x, self.running_mean.clone(), self.running_var.clone(), eps=self.eps)
        by_batch = F.batch_norm(
            x, self.running_mean, self.running_var, None, None, True, self.momentum, self.eps
        )
        self.num_batches_tracked += 1
        shape = (1, -1, *([1] * (x.ndim - 2)))
        chosen = (torch.rand(x.shape[1]) < self.p).to(x.device).view(shape)
        out = torch.where(chosen, by_batch, by_moving)
        out = out * self.weight.view(shape) + self.bias.view(shape)
        return self.act(self.drop(out)) if hasattr(self, "act") else out


def convert(net: nn.Module, p: float) -> int:
    """Turns every affine BatchNorm of `net` into a stochastic one, in place. -> how many."""
    found = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine]
    for module in found:
        module.__class__ = type(f"Stoch{type(module).__name__}", (StochNormMixin, type(module)), {})
        module.p = p
    return len(found)

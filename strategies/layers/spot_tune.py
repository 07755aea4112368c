"""SpotTune's blocks with two copies, and the network that chooses between them for each image."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class Policy(nn.Module):
    """Images [B, 3, H, W] -> logits [B, blocks, 2] of the frozen and the tuned copy of each block.

    Hooked to the network, it decides before each of the network's passes. actions: [B, blocks, 2], one-hot, only there
    during a pass. In eval mode the more likely copy; in train mode a sample, with the gradient of its softmax at
    `temperature` (Gumbel-softmax, straight through).
    """

    def __init__(self, blocks: int, temperature: float) -> None:
        super().__init__()
        self.blocks, self.temperature = blocks, temperature
        widths = (3, 16, 32, 64)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.logits = nn.Linear(widths[-1], 2 * blocks)
        self.actions: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        logits = self.logits(self.features(x).mean(dim=(2, 3))).float()
        by_block: Tensor = logits.unflatten(1, (self.blocks, 2))
        return by_block

    def decide(self, net: nn.Module, args: tuple[Any, ...]) -> None:
        logits = self(args[0])
        self.actions = gumbel(logits, self.temperature) if self.training else one_hot(logits)

    def forget(self, net: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.actions = None


def one_hot(values: Tensor) -> Tensor:
    return nn.functional.one_hot(values.argmax(-1), values.shape[-1]).to(values.dtype)


def gumbel(logits: Tensor, temperature: float) -> Tensor:
    """One-hot samples of softmax(logits), with the gradient of softmax((logits + noise) / temperature)."""
    noise = -torch.empty(logits.shape).exponential_().log()  # on the CPU: the same draws on every device
    soft = ((logits + noise.to(logits)) / temperature).softmax(-1)
    return one_hot(soft) - soft.detach() + soft


class Spot(nn.Module):
    """A block with a frozen and a tuned copy, of which the policy uses one for each image."""

    def __init__(self, block: nn.Module, index: int) -> None:
        super().__init__()
        self.frozen, self.tuned = copy.deepcopy(block), block
        self.index = index
        self.policy: tuple[Policy, ...] = ()  # a tuple, because its parameters are not this block's

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        frozen: Tensor = self.frozen(x, *args, **kwargs)
        tuned: Tensor = self.tuned(x, *args, **kwargs)
        actions = self.policy[0].actions
        assert actions is not None
        choice = actions[:, self.index].to(tuned.dtype)
        a, b = (choice[:, i].reshape(-1, *[1] * (tuned.ndim - 1)) for i in (0, 1))
        return a * frozen + b * tuned

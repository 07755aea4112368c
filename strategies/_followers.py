"""A copy of a network that follows it slowly: a teacher, or an encoder of keys."""

import copy
from collections.abc import Callable

from bench.api import nn, torch


class Follower:
    """`module` is a frozen copy; `decay` takes the number of the step, from 1, and is what each step keeps of it.

    Parameters follow. Statistics do not: the copy runs in the modes of the original, so its trained BatchNorm layers
    use those of the batches that it sees, and keep a running record of them.
    """

    def __init__(self, original: nn.Module, decay: Callable[[int], float]) -> None:
        self.module = copy.deepcopy(original).requires_grad_(False)
        self.decay, self.step = decay, 0

    def in_mode_of(self, original: nn.Module) -> nn.Module:
        """The copy, each layer in train or eval mode as that of the original is."""
        for name, own in self.module.named_modules():
            own.training = original.get_submodule(name).training
        return self.module

    def follow(self, original: nn.Module) -> None:
        self.step += 1
        weight = 1 - self.decay(self.step)
        with torch.no_grad():
            for name, own in self.module.named_parameters():
                own.lerp_(original.get_parameter(name), weight)  # leaves what is equal as it is, bit for bit

"""A copy of a network that follows it slowly: an average, a teacher, or an encoder of keys."""

import copy
from collections.abc import Callable
from typing import Generic, TypeVar

from bench.methods.api import Model, nn, torch

Network = TypeVar("Network", bound="nn.Module")


class Follower(Generic[Network]):
    """`module` is a frozen copy; `decay` takes the number of the step, from 1, and is what each step keeps of it.

    Parameters follow; statistics too where asked for (an average that is only evaluated), counters are copied then. A
    copy that is run in training keeps its own: in the modes of the original, its trained BatchNorm layers use those
    of the batches that it sees.
    """

    def __init__(self, original: Network, decay: Callable[[int], float], statistics: bool = False) -> None:
        self.module: Network = copy.deepcopy(original).requires_grad_(False)
        self.decay, self.statistics, self.step = decay, statistics, 0

    def in_mode_of(self, original: Network) -> Network:
        """The copy, each layer in train or eval mode as that of the original is."""
        for name, own in self.module.named_modules():
            own.training = original.get_submodule(name).training
        return self.module

    def follow_net(self, model: Model) -> None:
        """After each step, where it is a copy of the model's `net`."""
        self.follow(model.net)

    def follow(self, original: nn.Module) -> None:
        self.step += 1
        weight = 1 - self.decay(self.step)
        with torch.no_grad():
            for name, own in self.module.named_parameters():
                own.lerp_(original.get_parameter(name), weight)  # leaves what is equal as it is, bit for bit
            for name, held in self.module.named_buffers() if self.statistics else ():
                new = original.get_buffer(name)
                held.lerp_(new, weight) if held.is_floating_point() else held.copy_(new)

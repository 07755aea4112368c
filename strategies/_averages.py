"""A moving average of a network's weights."""

import copy
from collections.abc import Callable

from bench.api import Model, nn, torch


class Average:
    """`net` is a frozen copy, in eval mode; `decay` takes the number of the step, from 1."""

    def __init__(self, net: nn.Module, decay: Callable[[int], float]) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.decay, self.step = decay, 0

    def update(self, model: Model) -> None:
        """Parameters and statistics move towards the model's; counters are copied."""
        self.step += 1
        weight = 1 - self.decay(self.step)
        with torch.no_grad():
            for own, new in zip(self.net.state_dict().values(), model.net.state_dict().values(), strict=True):
                own.lerp_(new, weight) if own.is_floating_point() else own.copy_(new)

"""Which channels to cut, so that a network does less work."""

from __future__ import annotations

from bisect import bisect_left

import torch
from torch import Tensor, nn

from bench.api import Model
from strategies.layers.channels import Unit, couplings, remove, together
from strategies.layers.filters import Scores, hooked


def multiply_adds(model: Model) -> dict[str, float]:
    """Of each convolution and linear layer of the body, for one image."""
    found: dict[str, float] = {}

    def add(name: str, layer: nn.Module, out: Tensor) -> None:
        found[name] = found.get(name, 0.0) + out.numel() * layer.weight[0].numel()

    with hooked(model, add):
        model.eval_output(blank(model))
    return found


def blank(model: Model) -> Tensor:
    """One image, black."""
    device = next(model.parameters()).device
    return torch.zeros(1, 3, model.image_size, model.image_size, device=device)


def cut(model: Model, scores: Scores, target: float) -> None:
    """Removes channels until no more than `target` multiply-adds are left: the lowest scores first, over all layers.

    At most half of any layer's channels go at once. Modules with attention heads keep all outputs, and what is added to
    those stays whole with them.
    """
    heads = [m for m in model.net.modules() if hasattr(m, "num_heads") and m is not model.net]
    ranked: list[tuple[float, Unit]] = []
    for units in couplings(model.net, blank(model), [model.classifier, *heads]):
        ordered = sorted(((score(unit, scores), unit) for unit in units), key=lambda pair: pair[0])
        ranked += ordered[: len(ordered) // 2]
    units = [unit for _, unit in sorted(ranked, key=lambda pair: pair[0])]
    work = multiply_adds(model)

    def left(n: int) -> float:
        return work_left(model, work, together(units[:n]))

    gone = together(units[: bisect_left(range(len(units)), True, key=lambda n: left(n) <= target)])
    model.operate(lambda net: remove(net, gone))
    model.net.to(memory_format=torch.channels_last)  # what was cut has the plain layout


def score(unit: Unit, scores: Scores) -> float:
    """The mean over the filters that go."""
    values = [
        sum(scores[site.name][i] for i in channels) / len(channels)
        for site, channels in unit.items()
        if site.output and site.name in scores
    ]
    return sum(values) / len(values)


def work_left(model: Model, work: dict[str, float], gone: Unit) -> float:
    left = dict(work)
    for site, channels in gone.items():
        if site.name in left:
            layer = model.net.get_submodule(site.name)
            inputs = layer.weight.shape[1] * getattr(layer, "groups", 1)
            left[site.name] *= 1 - len(channels) / (layer.weight.shape[0] if site.output else inputs)
    return sum(left.values())

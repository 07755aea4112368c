"""How much work a network's filters are."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.methods.api import Model
from strategies.layers.channels import Unit
from strategies.layers.filters import Layer, hooked


def multiply_adds(model: Model) -> dict[str, float]:
    """Of each convolution and linear layer of the backbone, for one image."""
    found: dict[str, float] = {}

    def add(name: str, layer: Layer, out: Tensor) -> None:
        found[name] = found.get(name, 0.0) + out.numel() * layer.weight[0].numel()

    with hooked(model, add):
        model.eval_output(blank(model))
    return found


def blank(model: Model) -> Tensor:
    """One image, black."""
    device = next(model.parameters()).device
    return torch.zeros(1, 3, model.image_size, model.image_size, device=device)


def work_left(model: Model, work: dict[str, float], gone: Unit) -> float:
    """Of `work`, by layer, once `gone` is removed."""
    left = dict(work)
    for site, channels in gone.items():
        if site.name in left:
            layer = model.net.get_submodule(site.name)
            assert isinstance(layer, Layer)
            inputs = layer.weight.shape[1] * getattr(layer, "groups", 1)
            left[site.name] *= 1 - len(channels) / (layer.weight.shape[0] if site.output else inputs)
    return sum(left.values())

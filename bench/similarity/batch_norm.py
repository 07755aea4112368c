"""How far images are from those that a network with BatchNorm was trained on, from the network alone.

Each BatchNorm layer keeps the mean m and variance v of what it saw of its source. Over the target's images it sees mean
mu and variance s^2; per channel the squared Fréchet distance of the two normal distributions, in units of v, is
(mu - m)^2 / v + (s / sqrt(v) - 1)^2. The distance is its mean over channels, then over layers: 0 for the source itself.
No image of the source is needed, and no label. Within one network only.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from bench.data.evaluation import evaluation_batches
from bench.data.images import ImageSet
from bench.models.model import Model

NO_LAYERS = "the network has no BatchNorm, whose statistics it is measured by"
NO_SOURCE = "the weights are random: BatchNorm has seen no source"

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

DEAD = 1e-3
"""A channel whose spread in the source is below this share of the layer's largest has no scale to be measured by."""


class _Moments:
    """Sum, sum of squares and count, by channel, of what a layer takes; in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, layer: Any, args: tuple[Tensor, ...]) -> None:
        x = args[0].detach().double().transpose(0, 1).flatten(1)  # [C, N]
        self.count += x.shape[1]
        self.total = self.total + x.sum(1)
        self.squares = self.squares + x.square().sum(1)


@torch.no_grad()
def distance(model: Model, images: ImageSet) -> float:
    """The distance of these images from the network's source.

    Raises `ValueError` where the network has no BatchNorm with statistics.
    """
    layers = [m for m in model.net.modules() if isinstance(m, BATCH_NORM) and m.running_mean is not None]
    if not layers:
        raise ValueError(NO_LAYERS)
    moments = [_Moments() for _ in layers]
    handles = [layer.register_forward_pre_hook(own.add) for layer, own in zip(layers, moments, strict=True)]
    try:
        for x in evaluation_batches(images, model, 128):
            model.eval_output(x)
    finally:
        for handle in handles:
            handle.remove()
    return fmean(_layer(*pair) for pair in zip(layers, moments, strict=True) if pair[1].count)


def _layer(layer: BatchNorm, seen: _Moments) -> float:
    assert layer.running_mean is not None and layer.running_var is not None
    mean = torch.as_tensor(seen.total) / seen.count
    spread = (torch.as_tensor(seen.squares) / seen.count - mean.square()).clamp(min=0).sqrt()
    source = (layer.running_var.double() + layer.eps).sqrt()
    alive = source > DEAD * source.max()
    centre = (mean - layer.running_mean.double()) / source
    found = centre.square() + (spread / source - 1).square()
    return float(found[alive].mean())

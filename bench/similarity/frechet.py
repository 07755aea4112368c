"""Fréchet distance between source and target images at a network's stem.

d = (|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))) / D,  features standardised by the source's mean and spread.
Early features were measured to follow the embedded world's similarity knob monotonically, late ones not.
The number depends on the network: compare it within one backbone only (Heusel et al. 2017 for the distance).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from bench.backbones.model import Model
from bench.data.augment import normalise
from bench.data.images import ImageSet

IMAGES = 2000
"""At most so many images of either side; the covariance of a stem's few dozen channels needs no more."""


def distance(model: Model, source: ImageSet, target: ImageSet) -> float:
    """The distance at the end of the model's first stage; 0 for a set against itself."""
    a, b = (stem_features(model, images).double().numpy() for images in (source, target))
    centre, spread = a.mean(0), a.std(0)
    alive = (
        spread > 1e-3 * spread.max()
    )  # a channel that the source never moves has no scale to be measured by
    a, b = ((x - centre)[:, alive] / spread[alive] for x in (a, b))
    return frechet(a, b) / a.shape[1]


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Between Gaussians fitted to features [N, D] and [M, D]."""
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(ca @ cb))
    return max(0.0, float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * root)))


@torch.no_grad()
def stem_features(model: Model, images: ImageSet) -> Tensor:
    """[N, D]: the output of the first stage, averaged over positions, of a fixed random choice of images."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:IMAGES]
    chosen = images.subset(order).centre(model.image_size)
    caught: list[Tensor] = []
    handle = _last_of_stem(model).register_forward_hook(lambda module, args, out: caught.append(_pooled(out)))
    model.eval()
    try:
        for i in range(0, len(chosen), 128):
            model(normalise(chosen.x[i : i + 128], model.mean, model.std))
    finally:
        handle.remove()
    return torch.cat(caught)


def _last_of_stem(model: Model) -> nn.Module:
    """The module that holds the last parameter of the first stage."""
    return model.get_submodule(model.stages[0].param_names[-1].rpartition(".")[0])


def _pooled(out: Tensor) -> Tensor:
    """[B, C, H, W] or [B, N, C] -> [B, C]."""
    return out.float().mean((2, 3)) if out.ndim == 4 else out.float().flatten(1, -2).mean(1)

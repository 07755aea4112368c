"""What a network sees in images, taken once for all measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.evaluation import evaluation_batches
from bench.data.images import ImageSet
from bench.models.model import Model


@dataclass(frozen=True)
class Features:
    """stem [N, D1]: output of the first stage, averaged over positions. top [N, D]: what the classifier takes.

    labels [N]. theta [N, Z]: the source head's probabilities, None without one. float64, but the labels.
    """

    stem: np.ndarray
    top: np.ndarray
    labels: np.ndarray
    theta: np.ndarray | None = None

    def at(self, chosen: np.ndarray) -> Features:
        """Of the images at `chosen` [M]."""
        theta = None if self.theta is None else self.theta[chosen]
        return Features(self.stem[chosen], self.top[chosen], self.labels[chosen], theta)


def sample(images: ImageSet, limit: int) -> ImageSet:
    """A fixed random choice of at most `limit` images."""
    return images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:limit])


@torch.no_grad()
def extract(model: Model, images: ImageSet, head: Callable[[Tensor], Tensor] | None = None) -> Features:
    """The images as they are (centre crop), in eval mode. `head`: the source classifier, on features."""
    stem: list[Tensor] = []
    top: list[Tensor] = []
    handle = _last_of_stem(model).register_forward_hook(lambda module, args, out: stem.append(_pooled(out)))
    try:
        for x in evaluation_batches(images, model, 128):
            top.append(model.eval_output(x).features.float())
    finally:
        handle.remove()
    theta = _numpy(head(torch.cat(top)).float().softmax(-1)) if head else None
    return Features(_numpy(torch.cat(stem)), _numpy(torch.cat(top)), images.y.numpy(), theta)


def _last_of_stem(model: Model) -> nn.Module:
    """The module that holds the last parameter of the first stage."""
    return model.get_submodule(model.stages[0].param_names[-1].rpartition(".")[0])


def _pooled(out: Tensor) -> Tensor:
    """[B, C, H, W] or [B, N, C] -> [B, C]."""
    return out.float().mean((2, 3)) if out.ndim == 4 else out.float().flatten(1, -2).mean(1)


def _numpy(x: Tensor) -> np.ndarray:
    return x.double().cpu().numpy()

"""Fréchet distance between source and target images at one layer of a network (Heusel et al. 2017, arXiv:1706.08500).

d = (|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))) / D,  features standardised by the source's mean and spread.
Early features were measured to follow the synthetic datasets' similarity setting monotonically, late ones not.
The number depends on the network: compare it within one backbone only. It leans upwards with few images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from bench.data.images import ImageSet
    from bench.models.model import Model

IMAGES = 2000
"""At most so many images of either side; the covariance of a stem's few dozen channels needs no more."""


def distance(model: Model, source: ImageSet, target: ImageSet) -> float:
    """The distance at the end of the model's first stage; 0 for a set against itself."""
    from bench.similarity.features import extract, sample

    return standardised(*(extract(model, sample(images, IMAGES)).stem for images in (source, target)))


def standardised(source: np.ndarray, target: np.ndarray) -> float:
    """Features [N, D] and [M, D] -> the distance per dimension, in units of the source's spread."""
    centre, spread = source.mean(0), source.std(0)
    alive = (
        spread > 1e-3 * spread.max()
    )  # a channel that the source never moves has no scale to be measured by
    a, b = ((x - centre)[:, alive] / spread[alive] for x in (source, target))
    return frechet(a, b) / int(alive.sum())


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Between Gaussians fitted to features [N, D] and [M, D].

    With X and Y the centred features over sqrt(N - 1), tr (C1 C2)^(1/2) is the sum of the singular values of X Y^T,
    which are those of R_X R_Y^T from QR: no root of a large, perhaps singular matrix is taken.
    """
    x, y = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (a, b))
    # the cast: numpy's types do not know that "r" gives R alone
    rx, ry = (cast(np.ndarray, np.linalg.qr(z, mode="r")) for z in (x, y))
    root = np.linalg.svd(rx @ ry.T, compute_uv=False).sum()
    means = np.sum((a.mean(0) - b.mean(0)) ** 2)
    return max(0.0, float(means + np.sum(x**2) + np.sum(y**2) - 2 * root))

"""What the image families share: seeded draws, the pixel grid, colours, and the interface of a family.

Coordinates are in [-1, 1] from the left to the right and from the top to the bottom, so a family renders at
any size. A class is a set of numbers, its prototype; an image is drawn in two steps: `sample` draws
everything about it but the pixels (its factors), `paint` turns factors into pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

TURN = 2 * math.pi

Classes = TypeVar("Classes")  # a dataclass of tensors [K, ...]
Factors = TypeVar("Factors")  # a dataclass of tensors [n, ...]
Rows = TypeVar("Rows")


class ImageFamily(ABC, Generic[Classes, Factors]):
    """A way to draw classes and their images. `key` tells families apart in seeds."""

    key: int

    @abstractmethod
    def draw_classes(self, num_classes: int, g: Generator) -> Classes:
        """The prototypes of `num_classes` new classes."""

    @abstractmethod
    def sample(self, classes: Classes, y: Tensor, g: Generator) -> Factors:
        """The factors of one image per label of `y` [n]: the class's own, jittered, and the nuisances."""

    @abstractmethod
    def paint(self, f: Factors, size: int, g: Generator) -> Tensor:
        """Factors -> [n, 3 or 1, size, size] float, about 0 to 1. `g` is for what is random per pixel."""


def generator(*key: int) -> Generator:
    """A CPU generator seeded by the integers `key`, each from 0."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def uniform(g: Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(shape, generator=g) * (high - low) + low


def normal(g: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=g)


def pixel_grid(size: int) -> tuple[Tensor, Tensor]:
    """x [1, 1, size] and y [1, size, 1]: coordinates of the pixel centres."""
    centres = (torch.arange(size, dtype=torch.float32) + 0.5) / size * 2 - 1
    return centres[None, None, :], centres[None, :, None]


def image(t: Tensor) -> Tensor:
    """One number per image [n] -> [n, 1, 1], to broadcast over its pixels."""
    return t[:, None, None]


def rows(data: Rows, index: slice | Tensor) -> Rows:
    """The dataclass of tensors with only these rows of each."""
    return type(data)(**{f.name: getattr(data, f.name)[index] for f in fields(data)})  # type: ignore[arg-type]


def pulled(classes: Rows, spread: float) -> Rows:
    """The prototypes at `spread` times their distance from the prototypes' mean."""

    def pull(t: Tensor) -> Tensor:
        mean = t.mean(dim=0, keepdim=True)
        return mean + spread * (t - mean)

    return type(classes)(**{f.name: pull(getattr(classes, f.name)) for f in fields(classes)})  # type: ignore[arg-type]


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV in [0, 1], each [n] -> RGB [n, 3]."""
    k = (torch.tensor([5.0, 3.0, 1.0]) + hue[:, None] * 6) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * ramp)

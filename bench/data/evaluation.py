"""Images as a network sees them in evaluation: centre crop, normalised, on its device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.data.augment import normalise
from bench.data.images import ImageSet
from bench.models.model import Model


def evaluation_input(
    images: ImageSet, index: Tensor | slice, model: Model, device: torch.device | None = None
) -> Tensor:
    """The images at these positions of the set, as `model` takes them: [B, 3, S, S] float32, channels last.

    Args:
        device: of the result; None: that of the model.
    """
    device = device or next(model.parameters()).device
    pixels = images.centre(model.image_size).at(index)
    return normalise(pixels.to(device), model.mean, model.std)


def evaluation_batches(
    images: ImageSet, model: Model, batch_size: int, device: torch.device | None = None
) -> Iterator[Tensor]:
    """All images of the set in their order, as `evaluation_input`, so many at a time."""
    for start in range(0, len(images), batch_size):
        yield evaluation_input(images, slice(start, start + batch_size), model, device)

"""Two views of unlabelled images, after FixMatch (Sohn et al., 2020): a weak one to believe, a strong one to learn from.

weak: a crop of 80-100 % of the image, mirrored if the study mirrors its labelled images (glyphs and digits must not
be). strong: RandAugment (torchvision's, two operations) and a cut-out square, then the same kind of crop.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from bench.data.augment import Kind, random_boxes, random_flips, resized_crop

if TYPE_CHECKING:
    from bench.models.model import Model

SCALE = (0.8, 1.0)
CUTOUT = (0.05, 0.2)  # share of the image's area


def weak_view(x: Tensor, kind: Kind, model: Model, generator: Generator) -> Tensor:
    """x [U, 3, S, S] uint8 -> [U, 3, H, W] float32, normalised, H = W = the model's image size."""
    boxes = random_boxes(len(x), x.shape[-1], generator, SCALE, (0.9, 1 / 0.9))
    flips = random_flips(len(x), generator)
    if kind == "none":
        flips = torch.zeros_like(flips)
    return resized_crop(x, boxes, flips, model.image_size, model.mean, model.std)


def strong_view(x: Tensor, kind: Kind, model: Model, generator: Generator) -> Tensor:
    """As `weak_view`, of images that are distorted first, each in its own way."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's global state
        torch.manual_seed(seed)
        distorted = torch.stack([_distort()(image) for image in x])
    return weak_view(distorted, kind, model, generator)


@lru_cache(maxsize=1)
def _distort() -> Any:
    from torchvision.transforms import v2

    return v2.Compose([v2.RandAugment(num_ops=2, fill=128), v2.RandomErasing(p=1.0, scale=CUTOUT, value=127)])

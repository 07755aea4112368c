"""The views that images come in, where they are few: each has a number, so that what a network makes of it can be kept.

An image that is not augmented has one view, a mirrored one two, and one under crops as many as the study fixes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from bench.data.augment import Drawn, Kind, draw
from bench.data.images import ImageSet

_SEED = 0  # all runs of all studies see the same fixed crops of the same images


@dataclass(frozen=True)
class Views:
    """`count` views of each of N images; the number of view v of image i is i * count + v."""

    kind: Kind
    count: int
    crops: Drawn | None = None  # [N * count], of kind "crop"

    def source(self, images: ImageSet) -> ImageSet:
        """The images that these views are of: crops are drawn from large ones, where there are any."""
        return images.for_crops() if self.kind == "crop" else images

    def choose(self, index: Tensor, generator: Generator) -> Tensor:
        """A random view of each of the images at `index` [B]: its number, [B] int64 on the CPU."""
        index = index.cpu()
        if self.kind == "none":
            return index
        if self.kind == "flip":  # drawn as the augmentation draws: the same images are mirrored
            mirrored = draw("flip", len(index), 0, generator).mirrored
            assert mirrored is not None
            return index * 2 + mirrored
        return index * self.count + torch.randint(self.count, (len(index),), generator=generator)

    def drawn(self, numbers: Tensor) -> Drawn:
        """What is random about the views of these numbers [B]."""
        if self.kind == "none":
            return Drawn()
        if self.kind == "flip":
            return Drawn(None, (numbers % 2).bool())
        assert self.crops and self.crops.boxes and self.crops.mirrored is not None
        boxes = type(self.crops.boxes)(*(side[numbers] for side in self.crops.boxes))
        return Drawn(boxes, self.crops.mirrored[numbers])


AS_THEY_ARE = Views("none", 1)


def views_of(images: ImageSet, kind: Kind, fixed: int) -> Views | None:
    """The views under an augmentation, `fixed` of them under crops; None where every look is another view (fixed = 0)."""
    if kind == "none":
        return AS_THEY_ARE
    if kind == "flip":
        return Views("flip", 2)
    if not fixed:
        return None
    generator = Generator().manual_seed(_SEED)
    return Views("crop", fixed, draw("crop", len(images) * fixed, images.for_crops().side, generator))

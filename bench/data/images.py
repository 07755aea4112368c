"""A labelled set of square uint8 images in one tensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """x: [N, 3, S, S] uint8, possibly memory-mapped. y: [N] int64 class indices."""

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if self.x.dtype != torch.uint8 or self.x.ndim != 4 or self.y.dtype != torch.int64:
            raise TypeError(f"want uint8 [N, 3, S, S] and int64 [N], got {self.x.dtype} {list(self.x.shape)}")
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} images, {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    def subset(self, indices: Tensor) -> ImageSet:
        """The images at `indices` [M], in that order, copied into memory."""
        return ImageSet(self.x[indices], self.y[indices])

    def centre(self, size: int) -> ImageSet:
        """The central `size` x `size` pixels of every image, as a view. Raises ValueError if larger."""
        return ImageSet(centre_crop(self.x, size), self.y)

    def class_counts(self, num_classes: int) -> Tensor:
        """[num_classes] int64: the images of each class."""
        return torch.bincount(self.y, minlength=num_classes)


def centre_crop(x: Tensor, size: int) -> Tensor:
    """x [..., S, S] -> its central [..., size, size], a view; an odd rest stays at the right and bottom."""
    side = x.shape[-1]
    if size > side:
        raise ValueError(f"cannot crop {size} px out of images of {side} px")
    start = (side - size) // 2
    return x[..., start : start + size, start : start + size]

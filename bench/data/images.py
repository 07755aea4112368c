"""A labelled set of square uint8 images in one tensor, its own or one that it shares with others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

COPIED_UP_TO = 8 * 2**20
"""Bytes. A smaller subset is copied, so that its images lie together; a larger one stays in the shared memory map."""


@dataclass(frozen=True)
class ImageSet:
    """stored: [M, 3, S, S] uint8, possibly memory-mapped. y: [N] int64 class indices of the set's own images.

    rows: [N] int64, where these are in `stored`; None where N = M and they are all of it, in that order. large: [M, 3, R, R]
    uint8, the same images in more detail, for crops; None where `stored` is all there is.
    """

    stored: Tensor
    y: Tensor
    rows: Tensor | None = None
    large: Tensor | None = None

    def __post_init__(self) -> None:
        x = self.stored
        if x.dtype != torch.uint8 or x.ndim != 4 or self.y.dtype != torch.int64:
            raise TypeError(f"want uint8 [N, 3, S, S] and int64 [N], got {x.dtype} {list(x.shape)}")
        if self.large is not None and (self.large.dtype != torch.uint8 or len(self.large) != len(x)):
            raise TypeError(
                f"want uint8 [{len(x)}, 3, R, R], got {self.large.dtype} {list(self.large.shape)}"
            )
        images = len(x) if self.rows is None else len(self.rows)
        if images != len(self.y):
            raise ValueError(f"{images} images, {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def x(self) -> Tensor:
        """[N, 3, S, S] uint8, all of them: a copy, unless the set is all that is stored."""
        return self.stored if self.rows is None else self.stored[self.rows]

    @property
    def side(self) -> int:
        """S, in pixels."""
        return self.stored.shape[-1]

    @property
    def nbytes(self) -> int:
        """Of the set's own images, the large ones with them."""
        each = self.stored[:1].nbytes + (0 if self.large is None else self.large[:1].nbytes)
        return len(self) * each

    def at(self, index: Tensor | slice) -> Tensor:
        """The images at these positions of the set: [B, 3, S, S] uint8."""
        return self.stored[index if self.rows is None else self.rows[index]]

    def each(self, index: Tensor) -> list[Tensor]:
        """The same one by one, [3, S, S] each, as they lie in memory: nothing is copied."""
        rows = index if self.rows is None else self.rows[index]
        return [self.stored[row] for row in rows.tolist()]

    def for_crops(self) -> ImageSet:
        """The set that random crops are drawn from: the same images, in as much detail as there is."""
        return self if self.large is None else ImageSet(self.large, self.y, self.rows)

    def subset(self, indices: Tensor) -> ImageSet:
        """The images at `indices` [M], in that order."""
        rows = indices if self.rows is None else self.rows[indices]
        chosen = ImageSet(self.stored, self.y[indices], rows, self.large)
        return chosen.copied() if chosen.nbytes <= COPIED_UP_TO else chosen

    def copied(self, device: torch.device | None = None) -> ImageSet:
        """The set's own images alone, in memory of their own."""
        plane = torch.contiguous_format if device else torch.preserve_format
        large = None if self.large is None else self.for_crops().x.to(device=device, memory_format=plane)
        return ImageSet(self.x.to(device=device), self.y, large=large)

    def with_more(self, other: ImageSet) -> ImageSet:
        """These images, then those of `other`."""
        y = torch.cat([self.y, other.y])
        if self.rows is not None and other.rows is not None and self.stored is other.stored:
            return ImageSet(self.stored, y, torch.cat([self.rows, other.rows]), self.large)
        both = [image_set.for_crops() for image_set in (self, other) if image_set.large is not None]
        large = torch.cat([image_set.x for image_set in both]) if len(both) == 2 else None
        return ImageSet(torch.cat([self.x, other.x]), y, large=large)

    def centre(self, size: int) -> ImageSet:
        """The central `size` x `size` pixels of every image, as a view. Raises ValueError if larger."""
        return ImageSet(centre_crop(self.stored, size), self.y, self.rows)

    def class_counts(self, num_classes: int) -> Tensor:
        """[num_classes] int64: the images of each class."""
        return torch.bincount(self.y, minlength=num_classes)


def at_hand(images: ImageSet, device: torch.device) -> ImageSet:
    """On the GPU where they take at most half of what is free there; otherwise as they are, to be taken over in batches."""
    if device.type != "cuda" or images.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return images
    return images.copied(device)


def centre_crop(x: Tensor, size: int) -> Tensor:
    """x [..., S, S] -> its central [..., size, size], a view; an odd rest stays at the right and bottom."""
    side = x.shape[-1]
    if size > side:
        raise ValueError(f"cannot crop {size} px out of images of {side} px")
    start = (side - size) // 2
    return x[..., start : start + size, start : start + size]

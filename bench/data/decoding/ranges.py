"""Pixels with more than 8 bits: which values are black and white. Found over the training images, or given.

Cameras, scanners and microscopes write 10, 12 or 14 bits into files of 16, and nothing in the file says so: taking all
16 for the range leaves an almost black image. What is found holds for the whole dataset, so that brightness compares
across its images, and comes from training images only: test images are clipped to it.

The definition keeps data that use their bits as they are, and is not moved by a few odd pixels or files:

- of each image, the darkest and brightest pixels are left out, 1 in 10,000 (of images of 1,000 pixels and more, at least
  one: hot pixels of a sensor); of each class, the most extreme 1 in 20 images;
- whole numbers of 0 and more: from 0 to the least 2^b - 1 above what is left, as a converter of b bits has them. So 16
  bits that are used give what their upper 8 bits are, and 8 bits stored in 16 give themselves;
- fractions within 0 and 1: from 0 to 1;
- where that would leave three quarters of the greys unused (values around an offset), and for all other numbers: from
  the least to the greatest of what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.core.errors import UserError

HOT = 10_000
"""One pixel in so many is left out of an image's range."""

FEW = 1_000
"""Images of fewer pixels keep all."""

ODD_IMAGES = 20
"""One image in so many of a class is left out."""


class Range(NamedTuple):
    """The values that become black and white, and whether what is between them is whole numbers only."""

    low: float
    high: float
    whole: bool = True

    def eight_bit(self, values: np.ndarray) -> np.ndarray:
        """uint8 of the same shape; what is outside becomes black or white, and black what is no number."""
        if self.whole and values.dtype.kind in "iu" and float(self.low).is_integer():
            steps = int(self.high) - int(self.low)
            above = np.clip(values.astype(np.int64) - int(self.low), 0, steps)
            # from 256 values on as a shift by whole bits; fewer are spread over all greys
            shown: np.ndarray = above * 256 // (steps + 1) if steps >= 255 else above * 255 // max(steps, 1)
            return shown.astype(np.uint8)
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        greys: np.ndarray = np.clip(np.nan_to_num(np.floor(share * 256), posinf=255, neginf=0), 0, 255)
        return greys.astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" if not self.whole else f"{self.low:.0f} to {self.high:.0f}"


SIXTEEN = Range(0, 65535)
"""Where nothing else is known of 16 bits."""


class Levels(NamedTuple):
    """Of one image: the extremes of all pixels, of those that count for the range, and of its middle 98 %."""

    least: float
    most: float
    low: float
    high: float
    dark: float
    bright: float
    whole: bool


def levels(values: np.ndarray) -> Levels | None:
    """values: of any shape, integers or floats. None if none of them is a number."""
    flat = values.reshape(-1)
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    n = flat.size
    if n == 0:
        return None
    hot = -(-n // HOT) if n >= FEW else 0
    at = [0, hot, n // 100, n - 1 - n // 100, n - 1 - hot, n - 1]
    least, low, dark, bright, high, most = (float(v) for v in np.partition(flat, sorted(set(at)))[at])
    return Levels(least, most, low, high, dark, bright, flat.dtype.kind in "iu")


def find(by_class: Mapping[int, Sequence[Levels]]) -> Range:
    """The range of training images. Raises UserError where some are whole numbers and others fractions."""
    images = [image for members in by_class.values() for image in members]
    whole = {image.whole for image in images}
    if len(whole) == 2:
        count = sum(not image.whole for image in images)
        raise UserError(
            f"{count} of {len(images)} training images with more than 8 bits have fractions as pixels, the others "
            "whole numbers: no range fits both; save them alike"
        )
    low = min(sorted(i.low for i in members)[len(members) // ODD_IMAGES] for members in by_class.values())
    high = max(
        sorted(i.high for i in members)[-1 - len(members) // ODD_IMAGES] for members in by_class.values()
    )
    return _rounded(low, high, whole.pop())


def _rounded(low: float, high: float, whole: bool) -> Range:
    top = 2 ** max(1, int(high).bit_length()) - 1 if whole else 1
    usual = Range(0, top, whole)
    if low >= 0 and high <= top and (low == high or (high - low + whole) * 4 >= top + whole):
        return usual
    return Range(low, high if high > low else low + 1, whole)


def given(option: Sequence[float] | None) -> Range | None:
    """The option `range` of a dataset."""
    if option is None:
        return None
    low, high = option
    return Range(low, high, float(low).is_integer() and float(high).is_integer())

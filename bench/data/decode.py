"""Photographs to squares of uint8 pixels, once, on all cores."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.data.sniff import FORMATS
from bench.errors import UserError, nearest, shown

CHUNK = 128  # images held in memory at a time

# Pillow refuses twice as many pixels; this warning, at 89 million, would meet photographs that are fine
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Item = TypeVar("Item")


def read_files(paths: Sequence[Path], sides: Sequence[int], interpolation: str) -> Iterator[list[np.ndarray]]:
    """The images in order, in chunks: for each side [b, 3, side, side] uint8. Raises UserError naming a damaged file."""
    resample = resampling_filter(interpolation)
    return in_parallel(lambda path: _read(path, sides, resample), paths)


def in_parallel(
    decode: Callable[[Item], Sequence[np.ndarray]], items: Sequence[Item]
) -> Iterator[list[np.ndarray]]:
    """decode(item) of all items in order, its arrays stacked in chunks. Pillow releases the GIL, so threads suffice."""
    with ThreadPoolExecutor(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    ) as threads:
        for start in range(0, len(items), CHUNK):
            decoded = threads.map(decode, items[start : start + CHUNK])
            yield [np.stack(same_side) for same_side in zip(*decoded, strict=True)]


def short_side(path: Path) -> int:
    """In pixels, by the image's header; 0 of a damaged file, which is named when it is read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return min(image.size)
    except Exception:  # Pillow's decoders raise anything
        return 0


def resampling_filter(name: str) -> Image.Resampling:
    """Pillow's filter of that name. Raises UserError."""
    try:
        return Image.Resampling[name.upper()]
    except KeyError:
        known = [filter.name.lower() for filter in Image.Resampling]
        raise UserError(f"unknown interpolation {name!r}{nearest(name, known)}") from None


def squares(image: Image.Image, sides: Sequence[int], resample: Image.Resampling) -> list[np.ndarray]:
    """For each side [3, side, side] uint8: the central square of the image, resized with antialiasing.

    Same as resizing the short side and cropping the centre, without rounding the crop to whole pixels.
    """
    image = _upright(_eight_bit(image)).convert("RGB")
    return [np.asarray(_square(image, side, resample)).transpose(2, 0, 1) for side in sides]


def _square(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    if image.size == (side, side):
        return image
    short = min(image.size)
    left, top = ((length - short) / 2 for length in image.size)
    return image.resize((side, side), resample, box=(left, top, left + short, top + short))


def _read(path: Path, sides: Sequence[int], resample: Image.Resampling) -> list[np.ndarray]:
    far_above = 2 * max(sides)
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft(None, (far_above, far_above))  # JPEG: decode at a fraction of the size
            return squares(image, sides, resample)
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{shown(path)}: not an image, or none of {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's decoders raise anything from OSError to IndexError
        reason = str(error).replace(repr(str(path)), "the file")
        raise UserError(f"{shown(path)}: not a readable image ({reason or type(error).__name__})") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera's EXIF note says."""
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit greys scaled to 8 bit: Pillow's own conversion would clip them at 255."""
    if image.mode in ("F", "I"):
        raise ValueError("its pixels have 32 bits, and no range that is known; save it with 8 or 16")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))

"""What Pillow leaves to do between a file and its pixels: turning the picture upright, and values of more than 8 bits."""

from __future__ import annotations

from typing import IO

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from bench.data.sniff import FORMATS

_ORIENTATION = 0x0112  # EXIF tag
_TURNED = range(2, 9)

_OTHER_BYTE = {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, other in ("BL", "LB", "NB")
}
"""Pillow has no colours of 16 bits and keeps the upper byte; asked for the other order of bytes, it gives the lower.

Native order (N) is that of the machine, and "B" the other one, on all machines that torch is built for.
"""


def upright(image: Image.Image) -> Image.Image:
    """Turned as its note says, which some formats (TIFF, AVIF) do as they load, and then take the note away."""
    if isinstance(image, TiffImageFile) and image.filename:
        # else Pillow maps the file, with the sides of the picture exchanged before it is turned
        image.filename = ""
    image.load()
    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION) in _TURNED else image


def is_grey(image: Image.Image) -> bool:
    """Whether it is grey with more than 8 bits, which Pillow's own conversion would clip at 255."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def has_more_than_8_bits(image: Image.Image) -> bool:
    return is_grey(image) or _raw_mode(image) in _OTHER_BYTE


def _raw_mode(image: Image.Image) -> str:
    """How pixels lie in the file of an image that is open and not loaded yet; "" where the decoder does not say."""
    modes = set()
    for tile in getattr(image, "tile", []):
        args = tile[3]
        modes.add(args[0] if isinstance(args, tuple) and args else args)
    mode = modes.pop() if len(modes) == 1 else ""
    return mode if isinstance(mode, str) else ""


def deep_values(image: Image.Image, file: IO[bytes]) -> np.ndarray:
    """[H, W] or [H, W, 3]: the values of an upright image of more than 8 bits, which was just opened from `file`."""
    other = _OTHER_BYTE.get(_raw_mode(image))
    upper = np.asarray(upright(image))
    if other is None:
        return upper
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        again.tile = [
            tile._replace(args=(other, *tile[3][1:]) if isinstance(tile[3], tuple) else other)
            for tile in again.tile
        ]
        lower = np.asarray(upright(again))
    return (upper[..., :3].astype(np.uint16) << 8) | lower[..., :3]

"""What Pillow leaves to do between a file and its pixels: turning the picture upright, and values of more than 8 bits."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

from bench.data.folders.sniff import FORMATS

_ORIENTATION = 0x0112  # EXIF tag
_TURNED = range(2, 9)

_GREY_AND_ALPHA = "LA;16B"  # of a PNG
_PLANES, _SIGNED = 2, 2  # values of the TIFF tags PlanarConfiguration and SampleFormat

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
    raw = _raw_mode(image)
    return is_grey(image) or raw in _OTHER_BYTE or raw == _GREY_AND_ALPHA or _is_deep_ppm(image)


def is_inverted(image: Image.Image) -> bool:
    """Whether the file says that its least value is white, which Pillow heeds up to 8 bits only."""
    return (
        isinstance(image, TiffImageFile)
        and is_grey(image)
        and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
    )


def why_not_read(image: Image.Image) -> str:
    """What of an image Pillow reads as something else, without a word; "" for all others."""
    if not isinstance(image, TiffImageFile):
        return ""
    tags = image.tag_v2
    bits = max(tags.get(BITSPERSAMPLE, (1,)))
    if bits > 8 and len(image.getbands()) > 1 and tags.get(PLANAR_CONFIGURATION) == _PLANES:
        return (
            "colours of more than 8 bits, each in a plane of its own: save it with its channels interleaved"
        )
    if bits == 8 and _SIGNED in tags.get(SAMPLEFORMAT, ()):
        return "signed values of 8 bits: save it with values of 0 and more"
    return ""


def _raw_mode(image: Image.Image) -> str:
    """How pixels lie in the file of an image that is open and not loaded yet; "" where the decoder does not say."""
    modes = set()
    for tile in getattr(image, "tile", []):
        args = tile[3]
        modes.add(args[0] if isinstance(args, tuple) and args else args)
    mode = modes.pop() if len(modes) == 1 else ""
    return mode if isinstance(mode, str) else ""


def _is_deep_ppm(image: Image.Image) -> bool:
    """Colours of two bytes; greys of them come as `I`."""
    tile = getattr(image, "tile", [])
    return bool(tile) and image.mode == "RGB" and tile[0][0] == "ppm" and tile[0][3][1] > 255


def deep_values(image: Image.Image, file: IO[bytes]) -> np.ndarray:
    """[H, W] or [H, W, 3]: the values of an upright image of more than 8 bits, which was just opened from `file`."""
    raw = _raw_mode(image)
    if _is_deep_ppm(image):
        return _ppm_values(image, file)
    if raw == _GREY_AND_ALPHA:
        return _grey_beside_alpha(file)
    if raw in _OTHER_BYTE:
        return _both_bytes(image, file, _OTHER_BYTE[raw])
    values = np.asarray(upright(image))
    unsigned = isinstance(image, TiffImageFile) and _SIGNED not in image.tag_v2.get(SAMPLEFORMAT, (1,))
    return values.astype(np.uint32) if unsigned and values.dtype == np.int32 else values


def _both_bytes(image: Image.Image, file: IO[bytes], other: str) -> np.ndarray:
    upper = np.asarray(upright(image))
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        again.tile = [
            tile._replace(args=(other, *tile[3][1:]) if isinstance(tile[3], tuple) else other)
            for tile in again.tile
        ]
        lower = np.asarray(upright(again))
    return _joined(upper[..., :3], lower[..., :3])


def _grey_beside_alpha(file: IO[bytes]) -> np.ndarray:
    """Of a PNG, whose four bytes a pixel are read as those of RGBA: grey, upper and lower byte, and alpha."""
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        again._mode = "RGBA"
        again.tile = [tile._replace(args="RGBA") for tile in again.tile]
        four = np.asarray(upright(again))
    return _joined(four[..., 0], four[..., 1])


def _ppm_values(image: Image.Image, file: IO[bytes]) -> np.ndarray:
    """Scaled to 16 bits by the greatest value that the file names, as Pillow does with greys."""
    tile: Any = getattr(image, "tile", [])[0]
    _, _, offset, (_, greatest) = tile
    file.seek(offset)
    count = image.width * image.height * 3
    values = np.frombuffer(file.read(2 * count), ">u2").reshape(image.height, image.width, 3)
    scaled: np.ndarray = np.minimum(np.rint(values * (65535 / greatest)), 65535).astype(np.uint16)
    return scaled


def _joined(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    whole: np.ndarray = (upper.astype(np.uint16) << 8) | lower
    return whole

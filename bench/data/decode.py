"""Photographs to squares of uint8 pixels, once, on all cores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from bench.data import ranges
from bench.data.damaged import Damaged
from bench.data.identity import Unreadable, cores, sha256_of
from bench.data.ranges import Range
from bench.errors import UserError, nearest, shown

CHUNK = 128  # images held in memory at a time

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF")
"""What is read, whatever the file's name says. Not PostScript, which Pillow has Ghostscript execute."""

# Pillow refuses twice as many pixels; this warning, at 89 million, would meet photographs that are fine
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

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

Item = TypeVar("Item")
Result = TypeVar("Result")


class Decoded(NamedTuple):
    """Some of the items: positions of those that could be decoded, their arrays stacked, and why others could not."""

    kept: list[int]
    images: list[np.ndarray]
    failed: dict[int, str]


def read_files(
    paths: Sequence[Path], sides: Sequence[int], interpolation: str, grey: Range | None = None
) -> Iterator[list[np.ndarray]]:
    """The images in order, in chunks: for each side [b, 3, side, side] uint8.

    grey: what is black and white where pixels have more than 8 bits; None: found over these files. Raises UserError at
    the end, naming all that are damaged.
    """
    resample = resampling_filter(interpolation)
    if grey is None:
        members = [found for found in in_threads(levels_of, paths) if found]
        grey = ranges.find({0: members}) if members else None
    damaged = Damaged(skip=False)
    for chunk in in_parallel(lambda path: read_file(path, sides, resample, grey), paths):
        for i, reason in chunk.failed.items():
            damaged.add(str(paths[i]), reason, test=False)
        if chunk.kept:
            yield chunk.images
    damaged.settle()


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """function(item) of all items in order, on all cores. Pillow releases the GIL, so threads suffice."""
    with ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(items), CHUNK):
            yield from threads.map(function, items[start : start + CHUNK])


def in_parallel(decode: Callable[[Item], Sequence[np.ndarray]], items: Sequence[Item]) -> Iterator[Decoded]:
    """decode(item) of all items in order, in chunks. Where it raises `Unreadable` the item is left out."""

    def attempt(item: Item) -> Sequence[np.ndarray] | Unreadable:
        try:
            return decode(item)
        except Unreadable as error:
            return error

    with ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(items), CHUNK):
            kept, good, failed = [], [], {}
            for i, result in enumerate(threads.map(attempt, items[start : start + CHUNK]), start):
                if isinstance(result, Unreadable):
                    failed[i] = str(result)
                else:
                    kept.append(i)
                    good.append(result)
            yield Decoded(kept, [np.stack(same_side) for same_side in zip(*good, strict=True)], failed)


def short_side(path: Path) -> int:
    """In pixels, by the image's header; 0 of a damaged file, which is named when it is read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return min(image.size)
    except Exception:  # Pillow's decoders raise anything
        return 0


def is_deep(path: Path) -> bool:
    """Whether pixels have more than 8 bits, by the image's header; False of a damaged file."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _is_deep(image)
    except Exception:  # Pillow's decoders raise anything
        return False


def levels_of(path: Path) -> ranges.Levels | None:
    """What decides the range of an image with more than 8 bits a channel; None of others, and of damaged ones."""
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            return ranges.levels(_deep_values(image, file)) if _is_deep(image) else None
    except MemoryError:
        raise
    except Exception:  # Pillow's decoders raise anything
        return None


def resampling_filter(name: str) -> Image.Resampling:
    """Pillow's filter of that name. Raises UserError."""
    try:
        return Image.Resampling[name.upper()]
    except KeyError:
        known = [filter.name.lower() for filter in Image.Resampling]
        raise UserError(f"unknown interpolation {name!r}{nearest(name, known)}") from None


def squares(
    image: Image.Image, sides: Sequence[int], resample: Image.Resampling, grey: Range | None = None
) -> list[np.ndarray]:
    """For each side [3, side, side] uint8: the central square of the image, upright, resized with antialiasing.

    Same as resizing the short side and cropping the centre, without rounding the crop to whole pixels. grey: what is
    black and white where pixels have more than 8 bits; None: all 16 of them. Raises `Unreadable`, or what Pillow raises.
    """
    if _is_grey(image):
        image = _scaled(np.asarray(_upright(image)), grey)
    return _squares(_upright(image), sides, resample)


def read_file(
    path: Path, sides: Sequence[int], resample: Image.Resampling, grey: Range | None = None, sha256: str = ""
) -> list[np.ndarray]:
    """`squares` of a file. sha256: of its bytes as they were, "" for any.

    Raises `Unreadable` with the reason, and UserError where the file is not what it was.
    """
    far_above = 2 * max(sides)
    try:
        with path.open("rb") as file:
            if sha256 and sha256_of(file) != sha256:
                raise UserError(f"{shown(path)}: was changed while the dataset was being read; run again")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                if _is_deep(image):
                    return _squares(_scaled(_deep_values(image, file), grey), sides, resample)
                image.draft(None, (far_above, far_above))  # JPEG: decode at a fraction of the size
                return squares(image, sides, resample)
    except (MemoryError, UserError, Unreadable):
        raise
    except UnidentifiedImageError as error:
        raise Unreadable(f"not an image, or none of {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's decoders raise anything from OSError to IndexError
        reason = str(error).replace(repr(str(path)), "the file")
        raise Unreadable(f"not a readable image ({shown(reason) or type(error).__name__})") from error


def _squares(image: Image.Image, sides: Sequence[int], resample: Image.Resampling) -> list[np.ndarray]:
    image = image.convert("RGB")
    return [np.asarray(_square(image, side, resample)).transpose(2, 0, 1) for side in sides]


def _square(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    if image.size == (side, side):
        return image
    short = min(image.size)
    left, top = ((length - short) / 2 for length in image.size)
    return image.resize((side, side), resample, box=(left, top, left + short, top + short))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its note says, which some formats (TIFF, AVIF) do as they load, and then take the note away."""
    if isinstance(image, TiffImageFile) and image.filename:
        image.filename = (
            ""  # else Pillow maps the file, with the sides of the picture exchanged before it is turned
        )
    image.load()
    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION) in _TURNED else image


def _is_grey(image: Image.Image) -> bool:
    """Whether it is grey with more than 8 bits, which Pillow's own conversion would clip at 255."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _is_deep(image: Image.Image) -> bool:
    return _is_grey(image) or _raw_mode(image) in _OTHER_BYTE


def _raw_mode(image: Image.Image) -> str:
    """How pixels lie in the file of an image that is open and not loaded yet; "" where the decoder does not say."""
    modes = set()
    for tile in getattr(image, "tile", []):
        args = tile[3]
        modes.add(args[0] if isinstance(args, tuple) and args else args)
    mode = modes.pop() if len(modes) == 1 else ""
    return mode if isinstance(mode, str) else ""


def _deep_values(image: Image.Image, file: IO[bytes]) -> np.ndarray:
    """[H, W] or [H, W, 3]: the values of an image, just opened from `file`, for which `_is_deep` holds; upright."""
    other = _OTHER_BYTE.get(_raw_mode(image))
    upper = np.asarray(_upright(image))
    if other is None:
        return upper
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        again.tile = [
            tile._replace(args=(other, *tile[3][1:]) if isinstance(tile[3], tuple) else other)
            for tile in again.tile
        ]
        lower = np.asarray(_upright(again))
    return (upper[..., :3].astype(np.uint16) << 8) | lower[..., :3]


def _scaled(values: np.ndarray, grey: Range | None) -> Image.Image:
    """8-bit grey or RGB."""
    if grey is None and (values.dtype.itemsize > 2 or values.dtype.kind == "f"):
        raise Unreadable(
            "not a readable image (its pixels have 32 bits, and no training image tells their range; "
            "give `options: {range: [low, high]}`)"
        )
    return Image.fromarray((grey or ranges.SIXTEEN).eight_bit(values))

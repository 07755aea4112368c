"""Photographs to squares of uint8 pixels, once, on all cores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.core.errors import UserError, nearest, shown
from bench.data.decoding import ranges
from bench.data.decoding.damaged import Damaged
from bench.data.decoding.pixels import (
    deep_values,
    has_more_than_8_bits,
    is_grey,
    is_inverted,
    upright,
    why_not_read,
)
from bench.data.decoding.ranges import Range
from bench.data.folders.sniff import FORMATS, HEAD, kind
from bench.data.identity import Unreadable, cores, sha256_of

CHUNK = 128  # images held in memory at a time

# Pillow refuses twice as many pixels; this warning, at 89 million, would meet photographs that are fine
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

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
            return has_more_than_8_bits(image)
    except Exception:  # Pillow's decoders raise anything
        return False


def levels_of(path: Path) -> ranges.Levels | None:
    """What decides the range of an image with more than 8 bits a channel; None of others, and of damaged ones."""
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            return ranges.levels(deep_values(image, file)) if has_more_than_8_bits(image) else None
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
    if is_grey(image):
        image = _scaled(np.asarray(upright(image)), grey, is_inverted(image))
    return _squares(upright(image), sides, resample)


def read_file(
    path: Path,
    sides: Sequence[int],
    resample: Image.Resampling,
    grey: Range | None = None,
    sha256: str = "",
    has_more: Callable[[], object] = bool,
) -> list[np.ndarray]:
    """`squares` of a file. sha256: of its bytes as they were, "" for any. has_more: called if only its first frame is read.

    Raises `Unreadable` with the reason, and UserError where the file is not what it was.
    """
    far_above = 2 * max(sides)
    with unreadable(path), _unchanged(path, sha256) as file, Image.open(file, formats=FORMATS) as image:
        # a photograph's further pictures (MPO) are previews, maps of gains, or the other eye's
        if getattr(image, "is_animated", False) and image.format != "MPO":
            has_more()
        if reason := why_not_read(image):
            raise Unreadable(f"not a readable image ({reason})")
        if has_more_than_8_bits(image):
            inverted = is_inverted(image)
            return _squares(_scaled(deep_values(image, file), grey, inverted), sides, resample)
        image.draft(None, (far_above, far_above))  # JPEG: decode at a fraction of the size
        return squares(image, sides, resample)


@contextmanager
def _unchanged(path: Path, sha256: str) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            same = not sha256 or sha256_of(file) == sha256
            file.seek(0)
            if same:
                yield file
                return
    except FileNotFoundError:
        if not sha256:
            raise
    raise UserError(f"{shown(path)}: was changed while the dataset was being read; run again")


@contextmanager
def unreadable(path: Path | None = None) -> Iterator[None]:
    """Around the reading of an image: whatever fails becomes `Unreadable`, but for what says more than that."""
    try:
        yield
    except (MemoryError, UserError, Unreadable):
        raise
    except UnidentifiedImageError as error:
        raise Unreadable(_unidentified(path)) from error
    except Exception as error:  # Pillow's decoders raise anything from OSError to IndexError
        reason = shown(str(error).replace(repr(str(path)), "the file")) or type(error).__name__
        raise Unreadable(f"not a readable image ({reason})") from error


def _unidentified(path: Path | None) -> str:
    """Pillow says the same of what is no image and of one whose kind of pixels it does not know."""
    with suppress(OSError):
        if path and (found := kind(path.read_bytes()[:HEAD])) in FORMATS:
            return f"not a readable image ({found}, damaged or of a kind that Pillow does not read; save it as PNG)"
    return f"not an image, or none of {', '.join(FORMATS)}"


def _squares(image: Image.Image, sides: Sequence[int], resample: Image.Resampling) -> list[np.ndarray]:
    image = image.convert("RGB")
    return [np.asarray(_square(image, side, resample)).transpose(2, 0, 1) for side in sides]


def _square(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    if image.size == (side, side):
        return image
    short = min(image.size)
    left, top = ((length - short) / 2 for length in image.size)
    return image.resize((side, side), resample, box=(left, top, left + short, top + short))


def _scaled(values: np.ndarray, grey: Range | None, inverted: bool = False) -> Image.Image:
    """8-bit grey or RGB. inverted: the lower end of the range is white."""
    if grey is None and (values.dtype.itemsize > 2 or values.dtype.kind == "f"):
        raise Unreadable(
            "not a readable image (its pixels have 32 bits, and no training image tells their range; "
            "give `options: {range: [low, high]}`)"
        )
    pixels = (grey or ranges.SIXTEEN).eight_bit(values)
    return Image.fromarray(255 - pixels if inverted else pixels)

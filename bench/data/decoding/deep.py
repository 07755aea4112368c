"""The images of a folder with more than 8 bits a channel: the one range that they share, and what a reader should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import UserError, shown
from bench.data.decoding import decode, ranges
from bench.data.decoding.ranges import SIXTEEN, Levels, Range

File = tuple[Path, int]  # and the index of its class

UNUSED = 1 / 8
"""A remark is made where the pixels of all images, but the extreme 2 % of each, take less than this share of the range."""


def look(
    pool: Sequence[File], test: Sequence[File], classes: Sequence[str], given: Range | None
) -> tuple[Range | None, list[str]]:
    """The range over the pool, or the one that is given, and remarks on it; None where there is nothing to find it by.

    Test images have no part in it; how many are clipped to it is told. Raises UserError as `ranges.find` does, and where
    only test images have more than 8 bits.
    """
    files = [*pool, *test]
    flags = list(decode.in_threads(decode.is_deep, [path for path, _ in files]))
    deep = [file for file, flag in zip(files, flags, strict=True) if flag]
    if not deep:
        return None, [f"range {given} is not used: no image has more than 8 bits"] if given else []
    trained = sum(flags[: len(pool)])
    own, tested = _levels(deep[:trained]), _levels(deep[trained:])
    if not trained and tested and not given:
        raise UserError(
            f"{len(tested)} of {len(test)} test images have more than 8 bits ({shown(deep[0][0])}, say), and no training "
            "image has: save them alike, or say which values are black and white by `options: {range: [low, high]}`"
        )
    grey = given or _find(own)
    source = "given" if given else "found over the training images" if grey else "no training image tells"
    remark = (
        f"{len(deep)} of {len(files)} images have more than 8 bits: of their values, {grey or SIXTEEN} become black to "
        f"white ({source}; `options: {{range: [low, high]}}` sets it)"
    )
    shares = _shares(files, deep, classes) if len(deep) < len(files) else ""
    return grey, [remark + shares, *_doubts(grey or SIXTEEN, own, tested)]


def _levels(files: Sequence[File]) -> list[tuple[int, Levels]]:
    """With the class; damaged images have none, and are named when they are decoded."""
    found = decode.in_threads(decode.levels_of, [path for path, _ in files])
    return [(label, levels) for (_, label), levels in zip(files, found, strict=True) if levels]


def _find(own: Sequence[tuple[int, Levels]]) -> Range | None:
    by_class: dict[int, list[Levels]] = {}
    for label, levels in own:
        by_class.setdefault(label, []).append(levels)
    return ranges.find(by_class) if own else None


def _shares(files: Sequence[File], deep: Sequence[File], classes: Sequence[str]) -> str:
    """What a mixture of depths gives away."""
    every, of_class = Counter(label for _, label in files), Counter(label for _, label in deep)
    shares = {of_class[label] / every[label] for label in every}
    if len(shares) == 1:
        return "; the others have 8"
    told = [f"{classes[k]} {of_class[k]} of {every[k]}" for k in sorted(every)[:5]]
    return f"; the others have 8, by which classes may be told apart: {', '.join(told)}"


def _doubts(
    grey: Range, own: Sequence[tuple[int, Levels]], tested: Sequence[tuple[int, Levels]]
) -> list[str]:
    remarks = []
    outside = [sum(i.least < grey.low or i.most > grey.high for _, i in part) for part in (own, tested)]
    if any(outside):
        remarks.append(
            f"values outside that range, made black or white: in {outside[0]} of {len(own)} training images, "
            f"{outside[1]} of {len(tested)} test images"
        )
    if own:
        dark, bright = min(i.dark for _, i in own), max(i.bright for _, i in own)
        if bright - dark < (grey.high - grey.low) * UNUSED:
            remarks.append(
                f"98 % of each training image's values lie between {dark:g} and {bright:g}: most greys of that range "
                f"are not used; `options: {{range: [{dark:g}, {bright:g}]}}` would use them"
            )
    return remarks

"""The images of a folder, decoded: deep greys in one range, damaged files named all at once or left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.data.decoding import decode, deep
from bench.data.decoding.damaged import Damaged
from bench.data.decoding.deep import File
from bench.data.decoding.ranges import Range
from bench.data.family import Chunk, Resolution, Stream
from bench.data.folders.layout import Listing
from bench.data.folders.words import listed

SAMPLE = 64
"""So many images are asked how large they are."""


def stream(
    listing: Listing, sha256: dict[Path, str], resolution: Resolution, given: Range | None, damaged: Damaged
) -> Stream:
    """sha256: of the files as they were listed. given: the range of deep images, None: found over the pool.

    What has become another file since is a UserError; what is damaged is one once all was read, unless it is left out.
    """
    pool, test = listing.pool, listing.test
    grey, found = deep.look(pool, test, listing.classes, given)
    sides = resolution.sides(_largest(pool) if resolution.crops else 0)
    resample = decode.resampling_filter(resolution.interpolation)

    several: list[str] = []

    def chunks(files: Sequence[File], sides: Sequence[int], is_test: bool) -> Iterator[Chunk]:
        def read(path: Path) -> list[np.ndarray]:
            def note() -> None:
                several.append(str(path.relative_to(listing.root)))

            return decode.read_file(path, sides, resample, grey, sha256[path], note)

        names = [str(path.relative_to(listing.root)) for path, _ in files]
        for some in decode.in_parallel(read, [path for path, _ in files]):
            for i, reason in some.failed.items():
                damaged.add(names[i], reason, is_test)
            if some.kept:
                yield Chunk([names[i] for i in some.kept], [files[i][1] for i in some.kept], *some.images)

    def to_the_end() -> Iterator[Chunk]:
        yield from chunks(pool, sides, False)
        found.extend(damaged.settle(f"{listing.root}/"))
        if several:
            which = listed(sorted(several))
            found.append(
                f"files of several frames or pages, of which the first is read: {len(several)} ({which})"
            )

    return Stream(
        listing.classes, chunks(test, sides[:1], True), to_the_end(), found=found
    )  # what `inspect` notes is true of today's folder


def _largest(files: Sequence[File]) -> int:
    """The longest short side of a sample of images, in pixels."""
    return max(decode.short_side(path) for path, _ in files[:: max(1, len(files) // SAMPLE)])

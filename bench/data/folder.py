"""`folder:PATH`: an ImageFolder tree of the user's own. Torch-free, and no image is opened here.

PATH/<class>/... or PATH/train/<class>/... with PATH/test/<class>/... beside it, as `bench.data.detect` finds them. Where
there is no test folder, a share of every class is held out, the same images for every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data.family import Chunk, DatasetInfo, Family, Request, Resolution, Stream
from bench.data.layout import Choice, Listing, list_images
from bench.data.options import Option
from bench.data.tree import status
from bench.errors import UserError
from bench.places import place

__all__ = ["Folder", "Listing", "list_images"]

SAMPLE = 64
"""So many images are asked how large they are."""


class Folder(Family):
    """See the module."""

    name, prefix = "folder:PATH", "folder:"
    summary = "your own images: PATH/<class>/*.jpg, or PATH/train/<class>/ and PATH/test/<class>/"
    options = {
        "test_share": Option(
            float, 0.3, "held out of each class if there is no test folder", low=0.01, high=0.9
        ),
        "layout": Option(
            str,
            "auto",
            "auto: training and test folders are found by name; classes: all folders in PATH are classes",
            choices=("auto", "classes"),
        ),
        "train": Option(str, None, "the folder in PATH that holds the classes to train on; none: found"),
        "test": Option(
            str,
            None,
            "the folder in PATH that holds the test images; `none` holds a share out instead; none given: found",
        ),
    }

    def inspect(self, request: Request) -> DatasetInfo:
        listing = _listed(request)
        return DatasetInfo(
            listing.classes, listing.pool_counts(), len(listing.test), listing.notes, listing.content()
        )

    def fingerprint(self, request: Request, resolution: Resolution) -> dict[str, Any]:
        listing = _listed(request)
        lines = [f"{path}\0{label}\0{_state(path)}" for path, label in [*listing.pool, *listing.test]]
        content = "\n".join([str(len(listing.pool)), *lines]).encode("utf-8", "surrogateescape")
        return {"files": hashlib.sha256(content).hexdigest(), "resolution": resolution.content()}

    def open(self, request: Request, resolution: Resolution, cache: Path) -> Stream:
        listing = _listed(request)
        sides = resolution.sides(_largest(listing.pool) if resolution.crops else 0)
        test = _read(listing.test, listing.root, sides[:1], resolution.interpolation)
        pool = _read(listing.pool, listing.root, sides, resolution.interpolation)
        return Stream(listing.classes, test, pool)  # what `inspect` notes is true of today's folder


def _listed(request: Request) -> Listing:
    given = request.options
    return list_images(
        _root(request), given["test_share"], Choice(given["layout"], given["train"], given["test"])
    )


def _root(request: Request) -> Path:
    try:
        root = place(request.base, request.argument)
        if root.is_dir():
            return root
        problem = f"{root.resolve()} {'is not a folder' if root.exists() else 'does not exist'}"
    except OSError as error:
        problem = f"{root} cannot be read ({error.strerror})"
    except UserError as error:
        problem = str(error)
    raise UserError(f"dataset {request.name!r}: {problem}")


def _state(path: Path) -> str:
    found = status(path)
    return f"{found.st_size} {found.st_mtime_ns}"


def _read(files: list[tuple[Path, int]], root: Path, sides: list[int], interpolation: str) -> Iterator[Chunk]:
    from bench.data.decode import read_files

    paths, labels = [path for path, _ in files], [label for _, label in files]
    done = 0
    for images in read_files(paths, sides, interpolation):
        part = slice(done, done + len(images[0]))
        names = [str(path.relative_to(root)) for path in paths[part]]
        yield Chunk(names, labels[part], *images)
        done = part.stop


def _largest(files: list[tuple[Path, int]]) -> int:
    """The longest short side of a sample of images, in pixels."""
    from bench.data.decode import short_side

    return max(short_side(path) for path, _ in files[:: max(1, len(files) // SAMPLE)])

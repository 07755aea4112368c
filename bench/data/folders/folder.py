"""`folder:PATH`: an ImageFolder tree of the user's own. Torch-free, and no image is decoded here.

PATH/<class>/... or PATH/train/<class>/... with PATH/test/<class>/... beside it, as `bench.data.folders.detect` finds
them. Where there is no test folder, a share of every class is held out, the same images for every run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.data import identity
from bench.data.decoding.damaged import SKIP, Damaged
from bench.data.family import DatasetInfo, Family, Request, Resolution, Stream, refuse_changed
from bench.data.folders.layout import Choice, Listing, list_images
from bench.data.options import RANGE, Option
from bench.storage.places import place

__all__ = ["Folder", "Listing", "list_images"]

DECODING = 3
"""Raise it when files would be decoded differently than before."""


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
            in_identity_at_default=False,
        ),
        "train": Option(
            str,
            None,
            "the folder in PATH that holds the classes to train on; none: found",
            in_identity_at_default=False,
        ),
        "test": Option(
            str,
            None,
            "the folder in PATH that holds the test images; `none` holds a share out instead; none given: found",
            in_identity_at_default=False,
        ),
        "range": RANGE,
        "skip_damaged": SKIP,
    }

    def inspect(self, request: Request) -> DatasetInfo:
        listing, sha256 = _identified(request)
        return DatasetInfo(
            listing.classes,
            listing.pool_counts(),
            len(listing.test),
            listing.notes,
            _content(listing, sha256),
        )

    def fingerprint(self, request: Request, resolution: Resolution) -> dict[str, Any]:
        content = _content(*_identified(request))
        refuse_changed(request, content)
        options = {name: request.options[name] for name in ("range", "skip_damaged")}
        return {"files": content, "decoding": DECODING, "resolution": resolution.content(), **options}

    def open(self, request: Request, resolution: Resolution, cache: Path) -> Stream:
        from bench.data.decoding import pictures, ranges

        damaged = Damaged(request.options["skip_damaged"])
        given = ranges.given(request.options["range"])
        return pictures.stream(*_identified(request), resolution, given, damaged)


def _identified(request: Request) -> tuple[Listing, dict[Path, str]]:
    """The images, and the SHA-256 of each file. Raises UserError naming those that cannot be read, or leaves them out."""
    root = _root(request)
    given = request.options
    listing = list_images(root, given["test_share"], Choice(given["layout"], given["train"], given["test"]))
    paths = [path for path, _ in (*listing.pool, *listing.test)]
    digests = dict(zip(paths, identity.digests(root, paths, request.cache), strict=True))
    damaged = Damaged(request.options["skip_damaged"])
    pool, test = (
        _readable(part, root, digests, damaged, part is listing.test) for part in (listing.pool, listing.test)
    )
    notes = damaged.settle(f"{root}/")
    if notes:
        listing = replace(listing, pool=pool, test=test, notes=[*listing.notes, *notes])
        _refuse_empty(listing, notes[0])
    return listing, {path: digest.sha256 for path, digest in digests.items()}


def _readable(
    files: list[tuple[Path, int]],
    root: Path,
    digests: dict[Path, identity.Digest],
    damaged: Damaged,
    test: bool,
) -> list[tuple[Path, int]]:
    for path, _ in files:
        if reason := digests[path].reason:
            damaged.add(str(path.relative_to(root)), reason, test)
    return [(path, label) for path, label in files if not digests[path].reason]


def _refuse_empty(listing: Listing, note: str) -> None:
    for name, count in zip(listing.classes, listing.pool_counts(), strict=True):
        if not count:
            raise UserError(f"{listing.root}: class {name!r} has no images left to train on; {note}")
    if not listing.test:
        raise UserError(f"{listing.root}: no test images are left; {note}")


def _content(listing: Listing, sha256: dict[Path, str]) -> str:
    files = [*listing.pool, *listing.test]
    lines = ((str(path.relative_to(listing.root)), label, sha256[path]) for path, label in files)
    return identity.content(lines, len(listing.pool))


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

"""Decodes a dataset once into arrays that all processes share by memory map.

`cache/data/<key>/` holds pool.npy and test.npy (uint8 [N, 3, S, S]), their labels, and meta.json; for crops, where the
images have more pixels than S, also pool_large.npy (uint8 [N, R, R, 3], the same images). The folder is complete or absent,
and made anew where its checksums say that it is damaged (`bench.storage.checksums`); the key hashes all that decides
its content.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec, content_hash
from bench.data.duplicates import Seen
from bench.data.family import Chunk, Family, Request, Resolution, Stream
from bench.data.images import ImageSet
from bench.data.registry import find
from bench.storage.arrays import ArrayFile, locked, remove_leftovers, staged, write_text
from bench.storage.checksums import intact
from bench.storage.files import room_for
from bench.storage.places import used

__all__ = ["Prepared", "Resolution", "load", "load_test", "prepare"]

FORMAT = 1
"""Raise it when prepared folders would be laid out or decoded differently than before."""

_META, _LARGE = "meta.json", "_large"


@dataclass(frozen=True)
class Prepared:
    """A decoded dataset without its test images, so that whoever trains or tunes on it cannot look at them.

    `pool` is split into training and validation by `bench.data.splits`. No test image is in it, and none is in it
    twice; `notes` says what was excluded, for people. `load_test(path)` reads what is left out here.
    """

    pool: ImageSet
    classes: list[str]
    notes: list[str]
    path: Path


def prepare(spec: DatasetSpec, resolution: Resolution, base: Path, cache: Path) -> Path:
    """The folder with the prepared dataset, made unless it exists; safe in several processes at a time.

    base: where relative `folder:` paths start. Raises UserError for wrong names, options and images.
    """
    family, request = find(spec, base, cache)
    target = cache / "data" / key(family, request, resolution)
    if intact(target):
        return used(target)
    with locked(cache / "data" / ".locks" / target.name) as alone:
        if alone:
            remove_leftovers(target)
        if not intact(target):
            shutil.rmtree(target, ignore_errors=True)  # damaged
            with room_for(f"the decoded images of {request.name}", cache), staged(target) as folder:
                _write(family.open(request, resolution, cache), request.name, folder)
    return used(target)


def key(family: Family, request: Request, resolution: Resolution) -> str:
    """The identity of the prepared content. Raises UserError as `inspect` does."""
    content = {"format": FORMAT, "family": family.name, "content": family.fingerprint(request, resolution)}
    return content_hash(content)


def load(path: Path) -> Prepared:
    """What `prepare` wrote, memory-mapped: opening takes milliseconds, and processes share the pages."""
    meta = json.loads((path / _META).read_text(encoding="utf-8"))
    return Prepared(_images(path, "pool"), meta["classes"], meta["notes"], path)


def load_test(path: Path) -> ImageSet:
    """The test images of what `prepare` wrote: for the last line of a final run, and for nothing else."""
    return _images(path, "test")


def _images(path: Path, part: str) -> ImageSet:
    large = path / f"{part}{_LARGE}.npy"
    return ImageSet(
        _array(path / f"{part}.npy"),
        _array(path / f"{part}_labels.npy"),
        large=_array(large).permute(0, 3, 1, 2) if large.exists() else None,
    )


def _array(path: Path) -> torch.Tensor:
    # "c": a write would go to this process's own copy of the page, never to the file, so torch need not warn
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _write(stream: Stream, name: str, folder: Path) -> None:
    seen = Seen()
    # test first: what the pool shares with it is left out of the pool
    test = _write_part(stream.test, folder / "test", seen.test)
    pool = _write_part(stream.pool, folder / "pool", seen.pool)
    found = "; ".join([*seen.notes(), *stream.found])
    for part, labels in (("test", test), ("training", pool)):
        if len(labels) == 0:
            raise UserError(f"dataset {name!r}: no {part} images. {found}")
    classes = _classes(stream.classes, pool, test, name)
    for k in np.flatnonzero(np.bincount(pool, minlength=len(classes)) == 0)[:1]:
        raise UserError(f"dataset {name!r}: no training images of class {classes[k]!r}. {found}".rstrip())
    meta = {"dataset": name, "classes": classes, "notes": [*stream.notes, *stream.found, *seen.notes()]}
    write_text(folder / _META, json.dumps(meta, indent=2))


def _write_part(chunks: Iterable[Chunk], path: Path, keep: Callable[[Chunk], np.ndarray]) -> np.ndarray:
    """Writes the images that `keep` says to, and their labels [N] int64, which it returns."""
    kept_labels = [np.empty(0, dtype=np.int64)]
    with ArrayFile(path.with_name(f"{path.name}.npy")) as images, ExitStack() as stack:
        large: ArrayFile | None = None
        for chunk in chunks:
            kept = keep(chunk)
            images.append(chunk.images[kept])
            if chunk.large is not None:
                large = large or stack.enter_context(ArrayFile(path.with_name(f"{path.name}{_LARGE}.npy")))
                large.append(
                    chunk.large[kept].transpose(0, 2, 3, 1)
                )  # as the kernel that cuts crops reads them
            kept_labels.append(np.array(chunk.labels, dtype=np.int64)[kept])
    y = np.concatenate(kept_labels)
    with ArrayFile(path.with_name(f"{path.name}_labels.npy")) as labels:
        labels.append(y)
    return y


def _classes(named: list[str] | None, pool: np.ndarray, test: np.ndarray, name: str) -> list[str]:
    """The class names, or numbers where the dataset has none. Raises UserError for labels that do not fit."""
    used = np.union1d(pool, test)
    classes = named or [str(k) for k in range(int(used.max()) + 1)]
    if used.min() < 0 or used.max() >= len(classes):
        labels = f"labels from {used.min()} to {used.max()}"
        raise UserError(f"dataset {name!r}: {labels}, but {len(classes)} classes")
    if len(classes) < 2:
        raise UserError(f"dataset {name!r}: only one class; want at least 2")
    return classes

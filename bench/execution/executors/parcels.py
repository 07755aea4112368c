"""What one machine of a cluster has computed, brought to the others: decoded images, weights pretrained here.

A parcel is an entry of the cache (a file, or a folder of files), whole or absent there. Parcels lie in Ray's object
store: a node fetches what its own cache lacks, once, whichever node made it. Activations stay where they were
made: they are large, and computing them anew costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from bench.storage.arrays import staged
from bench.storage.checksums import files
from bench.storage.files import replaced

Parcel = dict[str, np.ndarray]
"""Path within the entry ("" where the entry is a file) -> its bytes, uint8 [n]."""


def pack(cache: Path, names: Iterable[str]) -> dict[str, Parcel]:
    """The entries `names`, as "data/1f0c", with all that is in them; without those that are gone."""
    return {name: _read(cache / name) for name in names if (cache / name).exists()}


def unpack(cache: Path, name: str, parcel: Mapping[str, np.ndarray]) -> None:
    """Write an entry that the cache lacks: whole, or not at all."""
    entry = cache / name
    entry.parent.mkdir(parents=True, exist_ok=True)
    if set(parcel) == {""}:
        with replaced(entry) as aside:
            parcel[""].tofile(aside)
        return
    with staged(entry) as folder:
        for path, content in parcel.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            content.tofile(folder / path)


def _read(entry: Path) -> Parcel:
    if entry.is_file():
        return {"": np.fromfile(entry, np.uint8)}
    return {name: np.fromfile(path, np.uint8) for name, path in files(entry).items()}

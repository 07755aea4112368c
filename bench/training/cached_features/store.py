"""Arrays of activations on disk, by content, under a budget; the ones not used for longest go first."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.core.spec import content_hash
from bench.storage.arrays import ArrayFile, locked, remove_leftovers, staged, write_text
from bench.storage.checksums import intact

GIB = 2**30
_META, _ROWS = "meta.json", "rows.npy"


@dataclass(frozen=True)
class Entry:
    """rows: [N, ...] float, memory-mapped: processes share the pages. seconds: what it took to compute them."""

    rows: Tensor
    seconds: float


class ActivationStore:
    """Folders `root/<key>/`, complete or absent. Safe in several processes at a time; an object of its own for each run."""

    def __init__(self, root: Path, limit: int) -> None:
        """limit: bytes that all entries may take together; no entry may take more than half of them."""
        self.root, self.limit = root, limit
        self.borrowed: dict[str, dict[str, float]] = {"train": {}, "eval": {}}

    def cached_feature_seconds(self, kind: str) -> float:
        """What computing the entries took that were used here, but made by other runs."""
        return sum(self.borrowed[kind].values())

    def has(self, key: dict[str, Any]) -> bool:
        return (self.root / content_hash(key)).exists()

    def get_or_make(
        self, key: dict[str, Any], size: int, make: Callable[[], Iterator[Tensor]], kind: str
    ) -> Entry | None:
        """The entry of `key`, made from the chunks [n, ...] of `make` unless it is there.

        size: its bytes. kind: "train" or "eval", whose time it saves. None where it is too large, or where the disk
        does not take it: whoever asked computes anew.
        """
        if size > self.limit // 2:
            return None
        folder = self.root / content_hash(key)
        try:
            entry, made = _read(folder), False
            if entry is None:
                entry, made = self._make(folder, key, size, make), True
        except OSError:  # a full disk, a folder without the right to write
            return None
        if entry:  # None: evicted by another process in this moment
            self.borrowed[kind].setdefault(folder.name, 0.0 if made else entry.seconds)
        return entry

    def _make(
        self, folder: Path, key: dict[str, Any], size: int, make: Callable[[], Iterator[Tensor]]
    ) -> Entry | None:
        with locked(self.root / ".locks" / folder.name) as alone:
            if alone:
                remove_leftovers(folder)
            entry = _read(folder)  # another process may have been faster
            if entry is None:
                shutil.rmtree(folder, ignore_errors=True)  # damaged
                self._make_room(size)
                _write(folder, key, make)
        return entry or _read(folder)

    def drop(self, key: dict[str, Any]) -> None:
        shutil.rmtree(self.root / content_hash(key), ignore_errors=True)

    def _make_room(self, size: int) -> None:
        entries = sorted(self._entries())
        used = sum(taken for _, taken, _ in entries)
        for _, taken, folder in entries:
            if used + size <= self.limit:
                return
            shutil.rmtree(folder, ignore_errors=True)  # who has it mapped keeps it until he is done
            used -= taken

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """(time of last use, bytes, folder) of each."""
        for meta in self.root.glob(f"*/{_META}"):
            try:
                yield meta.stat().st_mtime, (meta.parent / _ROWS).stat().st_size, meta.parent
            except OSError:  # evicted meanwhile
                continue


def limit() -> int:
    """Bytes: BENCH_CACHE_GIB, by default 20. Raises `UserError` where that is no number of at least 0."""
    text = os.environ.get("BENCH_CACHE_GIB", "20")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(
            f"BENCH_CACHE_GIB is {text!r}: want the size of the activation cache in GiB, such as 20"
        )
    return int(value * GIB)


def _write(folder: Path, key: dict[str, Any], make: Callable[[], Iterator[Tensor]]) -> None:
    start = time.perf_counter()
    dtype = ""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with staged(folder) as making:
        with ArrayFile(making / _ROWS) as file:
            for chunk in make():
                dtype = str(chunk.dtype).removeprefix("torch.")
                file.append(_as_numpy(chunk))
        meta = {"dtype": dtype, "seconds": time.perf_counter() - start, "key": key}
        write_text(making / _META, json.dumps(meta, indent=2))


def _read(folder: Path) -> Entry | None:
    """None where it is absent or damaged."""
    if not intact(folder):
        return None
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        rows = torch.from_numpy(np.load(folder / _ROWS, mmap_mode="c")).view(getattr(torch, meta["dtype"]))
        os.utime(folder / _META)
        return Entry(rows, float(meta["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _as_numpy(chunk: Tensor) -> np.ndarray:
    chunk = chunk.detach().cpu().contiguous()
    return (chunk.view(torch.int16) if chunk.dtype == torch.bfloat16 else chunk).numpy()  # numpy has no bf16

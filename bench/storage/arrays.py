"""Files that are complete or absent: growing arrays, folders that appear at once, a lock."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.storage.checksums import seal
from bench.storage.files import sync, write_text

__all__ = ["ArrayFile", "locked", "remove_leftovers", "staged", "write_text"]

if sys.platform != "win32":  # without the lock two processes may do the same work, still correctly
    import fcntl


class ArrayFile:
    """A .npy file that grows row by row, so a dataset need not fit into memory.

    A context manager: after a block that appended rows and raised nothing, the file is valid and on disk.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb")  # noqa: SIM115, closed in __exit__
        self._row_shape: tuple[int, ...] = ()
        self._dtype: np.dtype | None = None
        self._header = 0  # bytes
        self.rows = 0

    def __enter__(self) -> ArrayFile:
        return self

    def append(self, rows: np.ndarray) -> None:
        """rows: [n, ...], of the shape and type of the first ones."""
        if self._dtype is None:
            self._row_shape, self._dtype = rows.shape[1:], rows.dtype
            self._header = self._write_header()
        if (rows.shape[1:], rows.dtype) != (self._row_shape, self._dtype):
            raise ValueError(f"want {self._dtype} [n, {self._row_shape}], got {rows.dtype} {rows.shape}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None and self._dtype is not None:
                self._finish()

    def _finish(self) -> None:
        self._file.seek(0)
        if self._write_header() != self._header:  # numpy pads headers so that the first axis can grow
            raise RuntimeError(f"{self._file.name}: the header outgrew its place at {self.rows} rows")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_header(self) -> int:
        assert self._dtype is not None
        description = np.lib.format.dtype_to_descr(self._dtype)
        content = {"descr": description, "fortran_order": False, "shape": (self.rows, *self._row_shape)}
        np.lib.format.write_array_header_1_0(self._file, content)
        return self._file.tell()


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that becomes `target` at the end, sealed, or vanishes on an exception.

    If another process was faster, its folder stays and this one vanishes.
    """
    folder = target.with_name(f"{_staging_prefix(target)}{uuid.uuid4().hex}")
    folder.mkdir()
    try:
        yield folder
        seal(folder)
        sync(folder)
        try:
            os.rename(folder, target)
        except OSError:
            if not target.exists():
                raise
        sync(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(target: Path) -> None:
    """Deletes what killed processes left of `target`. Call it with the lock held."""
    for folder in target.parent.glob(_staging_prefix(target) + "*"):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Holds the lock file `path`, waiting for other processes; the system frees it when a process dies.

    Yields whether the lock is held: some systems and network folders have none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        yield _lock(file.fileno())


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _staging_prefix(target: Path) -> str:
    return f".{target.name}-"

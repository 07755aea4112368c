"""Files that are whole or absent, whatever ends the process that writes them, and that say when they are damaged.

What is written goes aside, to the disk (fsync), and only then to its name. Small documents carry a checksum of
themselves. Imports neither numpy nor torch: planning reads documents.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.core.errors import UserError, shown

CHECKSUM = "crc32"

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The disk, the user's share of it, or what a file may take, is used up."""

FULL_IN_WORDS = (
    *("No space left on device", "Disk quota exceeded", "File too large"),
    *("database or disk is full", "StorageFull", "QuotaExceeded"),
)
"""What is left of that in the errors of libraries that are not written in Python."""


def write_text(path: Path, text: str) -> None:
    """Written through to the disk."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file beside `path`, to be written, that becomes `path` at the end, or vanishes on an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        yield aside
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def created(path: Path) -> Iterator[Path]:
    """As `replaced`, but a file that is at `path` by then, made by another process, stays."""
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        yield aside
        sync(aside)
        with suppress(FileExistsError):
            os.link(aside, path)
        sync(path.parent)
    finally:
        for left in path.parent.glob(f"{aside.name}*"):  # a database has a journal beside it
            left.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """A file or a folder, through to the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_document(path: Path, content: dict[str, Any]) -> None:
    """As JSON, whole or not at all."""
    sealed = {**content, CHECKSUM: _checksum(content)}
    with replaced(path) as aside:
        write_text(aside, json.dumps(sealed, indent=1, allow_nan=False))


def read_document(path: Path) -> dict[str, Any] | None:
    """None where it is absent or damaged: whoever wrote it can do so again. Those of old have no checksum."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    found = content.pop(CHECKSUM, None)
    return content if found in (None, _checksum(content)) else None


def _checksum(content: dict[str, Any]) -> str:
    # of what is read back: JSON turns tuples to lists, and numbers as keys to texts
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


def disk_full(error: BaseException | None) -> str:
    """What an error, or the first one that it was raised for, says of a full disk, on one line; "" for other errors."""
    said = ""
    while error is not None:
        of_system = isinstance(error, OSError) and error.errno in FULL
        if of_system or any(words in str(error) for words in FULL_IN_WORDS):
            said = str(error).splitlines()[0]
        error = error.__cause__ or error.__context__
    return said


@contextmanager
def room_for(what: str, where: Path | str) -> Iterator[None]:
    """Around the writing of `what`. Raises `UserError` where the disk of `where` is full, or `where` must not grow more."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not disk_full(error):
            raise
        raise UserError(
            f"no space left for {what} on the disk of {shown(where)}: free some, and run again"
        ) from error

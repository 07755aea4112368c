"""What a folder of images is, told by the bytes of its files. Torch-free: planning asks for it.

Reading every file takes as long as the disk does, so digests are remembered, in this process and in the cache folder
(`digests/`). A remembered digest counts as long as four things about the file are what they were, all together: inode,
time of the last change of anything about it (ctime, which no program can set), size, and time of the last write. A copy,
a rename, an edit that puts the time of writing back: each changes at least one of them.

Three cases in which even these cannot tell, and the file is read again: it changed within `COARSE` seconds of being read
(a second change may have left the same time: git calls such files racy); it lies on a read-only file system and its two
times are equal (images of file systems, as squashfs, store one time, and another image may be mounted in its place); or
the system is Windows, which has no such time.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.storage.files import replaced

COARSE = 5.0
"""Seconds. File systems keep times to a nanosecond (ext4), a second (HFS+, old NFS) or two (FAT)."""

WORTH_KEEPING = 2**24, 1000
"""Bytes, files: less than both is read again in a fraction of a second, and leaves nothing in the cache."""

_State = tuple[int, int, int, int]  # inode, ctime, size, mtime; times in nanoseconds
_HEADER = b"bench digests 1"


class Unreadable(Exception):
    """A file that cannot be read, or not as an image. Its text is the reason, without the file's name."""


@dataclass(frozen=True)
class Digest:
    """sha256: of the file's bytes, 32 hexadecimal digits; "" if it cannot be read, for `reason`."""

    sha256: str
    reason: str = ""


_known: dict[str, tuple[_State, str]] = {}  # by absolute path, of files whose state can be trusted


def content(files: Iterable[tuple[str, int, str]], pool: int) -> str:
    """Digest of a listing: (path within the folder, label, digest) of each file, of which the first `pool` are trained on.

    Not of times, nor of where the folder lies: a copy of it is the same data.
    """
    lines = [f"{path}\0{label}\0{digest}" for path, label, digest in files]
    text = "\n".join([str(pool), *lines]).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def digests(root: Path, paths: Sequence[Path], cache: Path | None) -> list[Digest]:
    """One for each file, in their order. root: the folder that all belong to. cache: where digests are kept, if anywhere.

    Nothing is raised for files that cannot be read: their digest says why.
    """
    names = [os.path.abspath(path) for path in paths]
    found: list[Digest | None] = []
    unknown: list[int] = []
    for again in (False, True):
        found = [_remembered(name) for name in names]
        unknown = [i for i, digest in enumerate(found) if digest is None]
        if not unknown or cache is None or again:
            break
        _recall(_store(root, cache))
    if unknown:
        with ThreadPoolExecutor(cores()) as threads:
            for i, digest in zip(unknown, threads.map(_read, [names[i] for i in unknown]), strict=True):
                found[i] = digest
        _keep(root, names, [names[i] for i in unknown], cache)
    return [digest for digest in found if digest is not None]


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sha256_of(file: object) -> str:
    """Of an open binary file, from its beginning."""
    return hashlib.file_digest(file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]


def _read(name: str) -> Digest:
    """Reads the file, and remembers its digest where its state can tell whether it changes."""
    try:
        with open(
            os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb"
        ) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):  # a named pipe would never end
                return Digest("", "not a regular file")
            started = time.time()
            digest = sha256_of(file)
            after = os.fstat(file.fileno())
            if _state(before) == _state(after) and _trusted(after, started, file.fileno()):
                _known[name] = _state(after), digest
            return Digest(digest)
    except OSError as error:
        return Digest("", f"cannot be read ({error.strerror})")


def _remembered(name: str) -> Digest | None:
    known = _known.get(name)
    if known is None:
        return None
    try:
        state = _state(os.stat(name))
    except OSError:
        state = None
    if state == known[0]:
        return Digest(known[1])
    del _known[name]
    return None


def _state(status: os.stat_result) -> _State:
    return status.st_ino, status.st_ctime_ns, status.st_size, status.st_mtime_ns


def _trusted(status: os.stat_result, read_at: float, descriptor: int) -> bool:
    """Whether a later change of the file cannot leave its state as it is."""
    if sys.platform == "win32" or not status.st_ctime + COARSE < read_at:
        return False
    if status.st_ctime_ns != status.st_mtime_ns:
        return True
    return not os.fstatvfs(descriptor).f_flag & os.ST_RDONLY


def _store(root: Path, cache: Path) -> Path:
    key = hashlib.sha256(os.fsencode(os.path.abspath(root))).hexdigest()[:16]
    return cache / "digests" / key


def _recall(path: Path) -> None:
    """Adds what earlier processes kept; nothing, where the file is absent or damaged."""
    try:
        header, _, body = path.read_bytes().partition(b"\0")
    except OSError:
        return
    if header != _sealed(body):
        return
    with suppress(ValueError):
        for record in body.split(b"\0"):
            digest, inode, ctime, size, mtime, name = record.split(b" ", 5)
            state = int(inode), int(ctime), int(size), int(mtime)
            _known.setdefault(os.fsdecode(name), (state, digest.decode()))


def _keep(root: Path, names: Sequence[str], read: Sequence[str], cache: Path | None) -> None:
    """Writes down the digests of a folder, if it took long to compute them. A cache that takes none is no error."""
    kept = {name: _known[name] for name in names if name in _known}
    sizes = [kept[name][0][2] for name in read if name in kept]
    if cache is None or not kept or (sum(sizes) < WORTH_KEEPING[0] and len(sizes) < WORTH_KEEPING[1]):
        return
    # paths are absolute: what one process keeps beside another's is true, or is found not to be
    body = b"\0".join(
        b" ".join((digest.encode(), *(str(part).encode() for part in state), os.fsencode(name)))
        for name, (state, digest) in kept.items()
    )
    with suppress(OSError, UserError), replaced(_store(root, cache)) as aside:
        aside.write_bytes(_sealed(body) + b"\0" + body)


def _sealed(body: bytes) -> bytes:
    return _HEADER + f" {zlib.crc32(body):08x}".encode()

"""Folders of large files that say when they are damaged: by a disk, by a machine that lost power, by somebody's editor.

The checksums of all files lie beside them. Reading a GB to compute one takes most of a second, which is too much for
every run and nothing for a machine: so files are read in full by the first process that opens them after a boot, or after
they were changed, and it records that for the others. Every opening compares sizes, both times and inodes with that.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path

from bench.core.processes import boot
from bench.storage.files import read_document, replaced, write_document

SUMS, CHECKED = "sums.json", "checked.json"
PIECE = 2**24  # bytes


def seal(folder: Path) -> None:
    """Leave the checksums of all files of a folder, unless they are there: then it is a copy, to be held against them."""
    if not (folder / SUMS).exists():
        sums = {name: [path.stat().st_size, checksum(path)] for name, path in files(folder).items()}
        write_document(folder / SUMS, {"files": sums})


def intact(folder: Path) -> bool:
    """Whether all is there as it was when the folder was sealed. False for a folder that is absent, or was not sealed."""
    found = read_document(folder / SUMS)
    if found is None:
        return False
    try:
        paths = {name: folder / name for name in found["files"]}
        seen = {"boot": boot(), "files": {name: _seen(path) for name, path in paths.items()}}
        if read_document(folder / CHECKED) == seen:
            return True
        for name, (size, sum_) in found["files"].items():
            if paths[name].stat().st_size != size or checksum(paths[name]) != sum_:
                return False
    except (OSError, KeyError, TypeError, ValueError):
        return False
    with suppress(OSError), replaced(folder / CHECKED) as aside:  # not to be had on a full or foreign disk
        aside.write_text(json.dumps(seen))
    return True


def checksum(path: Path) -> str:
    """CRC-32 of a file, as fast as the disk: it is to tell accidents, not forgery."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            value = zlib.crc32(piece, value)
    return f"{value:08x}"


def files(folder: Path) -> dict[str, Path]:
    """All files of a folder, by their path within it, but what this machine alone knows of them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths if path.name != CHECKED}


def _seen(path: Path) -> list[int]:
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]

"""What kind of file a checkpoint is, told by its first bytes, so that a wrong one is refused by what it is."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bench.core.errors import UserError

ZIP, PICKLE, TAR = b"PK\x03\x04", b"\x80", b"ustar"  # of torch since 1.6, before, and long before
LFS = b"version https://git-lfs"


def refuse_others(path: Path) -> None:
    """Raises `UserError` where the content is not what the name says; what is in it is not looked at here."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise UserError(f"checkpoint {path}: cannot be read ({error.strerror})") from None
    if problem := _problem(path, start):
        raise UserError(f"checkpoint {path}: {problem}")


def _problem(path: Path, start: bytes) -> str | None:
    if not start:
        return "is empty"
    if start.startswith(LFS):
        return "is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
    named_safetensors = path.suffix == ".safetensors"
    of_torch = start.startswith((ZIP, PICKLE)) or TAR in start
    if of_torch and named_safetensors:
        return "is not a safetensors file; if it is one of torch, name it .pth"
    if of_torch:
        return _archive_problem(path) if start.startswith(ZIP) else None
    if start[8:9] == b"{":
        return (
            None if named_safetensors else "is not a torch file; if it is safetensors, name it .safetensors"
        )
    return f"is no checkpoint: it begins with {start[:16]!r}"


def _archive_problem(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "is incomplete: the end of the archive is missing or damaged"
    if not any(name.endswith("/data.pkl") for name in names):
        return f"is an archive of something else: it holds {', '.join(map(repr, names[:3])) or 'nothing'}"
    return None

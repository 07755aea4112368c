"""Walking a tree of images: class folders and the image files below them. Torch-free."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from bench.errors import UserError, shown

# torchvision's list; importing it from there would take seconds
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

_NO_CLASS = ("__MACOSX",)


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in `folder` by name, through symbolic links; none if it is not a folder."""
    return [Path(entry.path) for entry in _entries(folder) if _is_dir(entry) and entry.name not in _NO_CLASS]


def image_files(folder: Path) -> list[Path]:
    """All visible images at any depth below `folder`, by name; each folder once, however many links lead there.

    Raises UserError for a link to a folder above, whose other classes would be taken for this one, and for what has
    an image's name and is no file.
    """
    found: list[Path] = []
    seen: set[str] = set()
    above = {str(parent) for parent in Path(os.path.realpath(folder)).parents}
    waiting: list[os.DirEntry[str] | Path] = [folder]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, Path) or _is_dir(entry):
            real = os.path.realpath(entry)
            if real in above:
                raise UserError(
                    f"{shown(os.fspath(entry))}: is a link to {shown(real)}, a folder above it; remove it"
                )
            if real not in seen:
                seen.add(real)
                waiting += reversed(_entries(Path(entry)))
        elif _is_image(entry):
            found.append(_file(entry))
    return found


def is_split_folder(folder: Path) -> bool:
    """Whether this is a split of the dataset (folders of classes) and not itself a class (images)."""
    entries = _entries(folder)
    return any(_is_dir(entry) for entry in entries) and not any(_is_image(entry) for entry in entries)


def status(path: Path) -> os.stat_result:
    """`path.stat()`. Raises UserError where there is nothing, as at the end of a link."""
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from error


def _file(entry: os.DirEntry[str]) -> Path:
    path = Path(entry.path)
    if not _is(entry.is_file) and not stat.S_ISREG(status(path).st_mode):
        raise UserError(f"{shown(path)}: not a regular file")  # reading a named pipe would never end
    return path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Everything in `folder` that is not hidden, by name. Raises UserError if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be read ({error.strerror})") from error


def _is_dir(entry: os.DirEntry[str]) -> bool:
    return _is(entry.is_dir)


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link to itself
        return False


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS

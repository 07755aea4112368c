"""Walking a tree of images: class folders and the image files below them. Torch-free."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UserError

# torchvision's list; importing it from there would take seconds
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

_NO_CLASS = ("__MACOSX",)


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in `folder` by name, through symbolic links; none if it is not a folder."""
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir() and entry.name not in _NO_CLASS]


def image_files(folder: Path) -> list[Path]:
    """All visible images at any depth below `folder`, by name, through links but not back to a parent."""
    return _walk(folder, frozenset())


def is_split_folder(folder: Path) -> bool:
    """Whether this is a split of the dataset (folders of classes) and not itself a class (images)."""
    entries = _entries(folder)
    return any(entry.is_dir() for entry in entries) and not any(_is_image(entry) for entry in entries)


def _walk(folder: Path, above: frozenset[str]) -> list[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return []
    found: list[Path] = []
    for entry in _entries(folder):
        if entry.is_dir():
            found += _walk(Path(entry.path), above | {real})
        elif _is_image(entry):
            found.append(Path(entry.path))
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Everything in `folder` that is not hidden, by name. Raises UserError if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from error


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS

"""Walking a tree of images: class folders and the image files below them. Torch-free."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.core.errors import UserError, shown
from bench.data.folders import sniff

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Endings taken at their word, as decoding looks at the content anyway. Other files are opened to see what they are."""

_LITTER = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "__pycache__"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
)
"""What systems leave in folders, in small letters; also what is hidden."""

_KINDS_TOLD = 8
"""So many endings of files that are left out are told one by one."""

LeftOut = Counter[tuple[str, str]]
"""(ending, reason) -> files."""


class Tree:
    """A tree of files as it is now: each folder, and each file of unknown ending, is read once."""

    def __init__(self) -> None:
        self._folders: dict[str, list[os.DirEntry[str]]] = {}
        self._sniffed: dict[str, str | None] = {}
        self.left_out: LeftOut = Counter()

    def subfolders(self, folder: Path) -> list[Path]:
        """The visible folders in `folder` by name, through symbolic links; none if it is not a folder."""
        return [Path(entry.path) for entry in self._entries(folder) if _is_dir(entry)]

    def pictures(self, folder: Path) -> list[Path]:
        """The images that lie in `folder` itself, by name."""
        return [Path(entry.path) for entry in self._entries(folder) if self._is_picture(entry)]

    def has_pictures(self, folder: Path) -> bool:
        return any(self._is_picture(entry) for entry in self._entries(folder))

    def holds_images(self, folder: Path) -> bool:
        """Whether there are images at any depth."""
        return next(iter(self._walk(folder, lambda entry: None)), None) is not None

    def images(self, folder: Path) -> list[Path]:
        """All visible images at any depth below `folder`, by name; each folder once, however many links lead there.

        What else lies there is counted in `left_out`. What has an image's name and is no file, as a link to nothing,
        is among the images: it is named with the damaged ones. Raises UserError for a link to a folder above, whose
        other classes would be taken for this one.
        """
        return [Path(entry.path) for entry in self._walk(folder, self._leave_out)]

    def _walk(
        self, folder: Path, leave_out: Callable[[os.DirEntry[str]], None]
    ) -> Iterable[os.DirEntry[str]]:
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
                    waiting += reversed(self._entries(Path(entry)))
            elif self._is_picture(entry):
                yield entry
            else:
                leave_out(entry)

    def _is_picture(self, entry: os.DirEntry[str]) -> bool:
        """A file, or what has the name of one."""
        ending = _ending(entry)
        if ending in IMAGE_EXTENSIONS:
            return not _is_dir(entry)
        return _is(entry.is_file) and self._why_not(entry, ending) is None

    def _why_not(self, entry: os.DirEntry[str], ending: str) -> str | None:
        if entry.path not in self._sniffed:
            self._sniffed[entry.path] = sniff.why_not(entry.path, ending)
        return self._sniffed[entry.path]

    def _leave_out(self, entry: os.DirEntry[str]) -> None:
        why = self._why_not(entry, _ending(entry)) if _is(entry.is_file) else "not a regular file"
        self.left_out[_ending(entry), why or ""] += 1

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """Everything in `folder` that is neither hidden nor litter, by name. Raises UserError if it may not be read."""
        key = str(folder)
        if key not in self._folders:
            self._folders[key] = _read(folder)
        return self._folders[key]


def told(left_out: LeftOut) -> str:
    """`12 .txt, 3 .heic (HEIC, which is not read: convert to PNG or JPEG)`; "" where nothing was left out."""
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    parts = [
        f"{count:,} {shown(ending) or 'without ending'}{f' ({why})' if why else ''}"
        for (ending, why), count in kinds[:_KINDS_TOLD]
    ]
    rest = kinds[_KINDS_TOLD:]
    more = [f"{sum(count for _, count in rest):,} of {len(rest)} other kinds"] if rest else []
    return ", ".join([*parts, *more])


def _read(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = (e for e in entries if e.name[0] != "." and e.name.lower() not in _LITTER)
            return sorted(visible, key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be read ({error.strerror})") from error


def _ending(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()


def _is_dir(entry: os.DirEntry[str]) -> bool:
    return _is(entry.is_dir)


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link to itself
        return False

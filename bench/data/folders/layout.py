"""How a folder of images is laid out: which folders are classes, which are splits, and what is the test set.

Torch-free, and no image is opened here.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.errors import UserError, nearest, shown
from bench.data.folders.detect import AUTO, Choice, detect
from bench.data.folders.tree import Tree, told
from bench.data.folders.words import under

__all__ = ["Choice", "Listing", "list_images"]

_NAMED = 10  # classes that a remark names


@dataclass(frozen=True)
class Listing:
    """The images of a tree, as (path, class index), in the order of their names.

    notes: where the test images come from, then what is left unused or left out.
    """

    root: Path
    classes: list[str]
    pool: list[tuple[Path, int]]
    test: list[tuple[Path, int]]
    notes: list[str] = field(default_factory=list)

    def pool_counts(self) -> list[int]:
        counts = [0] * len(self.classes)
        for _, label in self.pool:
            counts[label] += 1
        return counts


def list_images(root: Path, test_share: float, choice: Choice = AUTO) -> Listing:
    """Lists and checks the tree. Raises UserError as `Folder.inspect` does."""
    tree = Tree()
    found = detect(tree, root, choice)
    if found.test:
        listing = _with_test(tree, found.train, found.test, root)
    else:
        listing = _held_out(tree, found.train, root, test_share)
    listing.notes.extend([*found.notes, *_look_alike(listing.classes)])
    if tree.left_out:
        listing.notes.append(f"left out, as no images that can be read: {told(tree.left_out)}")
    return listing


def _with_test(tree: Tree, train: Path, test: Path, root: Path) -> Listing:
    classes = _classes(tree, train)
    unknown = [c for c in tree.subfolders(test) if c.name not in classes and tree.holds_images(c)]
    if unknown:
        name = unknown[0].name
        known = any(c.name in classes for c in tree.subfolders(test))
        aside = "" if known else "; to hold out a share of the training images instead: options: {test: none}"
        raise UserError(f"{test}: class {name!r} is not in {train}{_spelled(name, classes)}{aside}")
    pool = [(file, k) for k, name in enumerate(classes) for file in _images(tree, train / name)]
    tested = [(file, k) for k, name in enumerate(classes) for file in tree.images(test / name)]
    notes = [f"the test set is the folder {under(root, test)}", *_untested(classes, tested, test)]
    return Listing(root, classes, pool, tested, notes)


def _spelled(name: str, classes: list[str]) -> str:
    twins = [c for c in classes if _letters(c) == _letters(name)]
    if twins:
        return f", which has {twins[0]!r}: the same class needs the same name"
    return nearest(name, classes)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _held_out(tree: Tree, folder: Path, root: Path, test_share: float) -> Listing:
    classes = _classes(tree, folder)
    pool, test = [], []
    for k, name in enumerate(classes):
        files = _images(tree, folder / name)
        tested = _chosen(files, folder, test_share)
        pool += [(file, k) for file in files if file not in tested]
        test += [(file, k) for file in files if file in tested]
    notes = [f"no test folder: {test_share:.0%} of each class are held out as the test set"]
    return Listing(root, classes, pool, test, notes + _untested(classes, test, folder))


def _chosen(files: list[Path], folder: Path, share: float) -> set[Path]:
    """The files to hold out: by the hash of their names, so that adding images moves few of the others."""

    def rank(file: Path) -> bytes:
        return hashlib.sha256(file.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")).digest()

    count = min(max(1, round(len(files) * share)), len(files) - 1)
    return set(sorted(files, key=rank)[:count])


def _classes(tree: Tree, folder: Path) -> list[str]:
    names = [path.name for path in tree.subfolders(folder)]
    if not names:
        raise UserError(f"{folder}: no class folders; want {folder}/<class>/<image>.jpg")
    for name in names:
        if shown(name).encode(errors="replace") != name.encode(errors="replace"):
            raise UserError(
                f"{folder}: the class folder {shown(name)} has a name that cannot be written; rename it"
            )
    _refuse_same_letters(names, folder)
    if len(names) < 2:
        raise UserError(f"{folder}: only one class folder, {names[0]!r}; want at least 2 classes")
    return names


def _refuse_same_letters(names: list[str], folder: Path) -> None:
    """Raises UserError where two names are one on the screen: an accent is stored as one letter or as two."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise UserError(
                f"{folder}: the class folders {other!a} and {name!a} have the same name, with accents stored "
                "in two ways; merge them, or rename one"
            )


def _look_alike(names: list[str]) -> list[str]:
    """A remark on names that differ in capitals, spaces or signs only, as those of one class spelled twice."""
    first: dict[str, str] = {}
    pairs = [
        (other, name) for name in names if (other := first.setdefault(_letters(name) or name, name)) != name
    ]
    if not pairs:
        return []
    more = f" and {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
    return [f"{pairs[0][0]!r} and {pairs[0][1]!r}{more} are taken for different classes"]


def _images(tree: Tree, folder: Path) -> list[Path]:
    before = tree.left_out.copy()
    files = tree.images(folder)
    if not files:
        there = told(tree.left_out - before)
        raise UserError(
            f"{folder}: class {folder.name!r} has no images{f' that can be read: {there}' if there else ''}"
        )
    return files


def _untested(classes: list[str], test: list[tuple[Path, int]], folder: Path) -> list[str]:
    """Remarks on classes without test images. Raises UserError if there is no test image at all."""
    if not test:
        raise UserError(f"{folder}: no test images in any class")
    tested = {label for _, label in test}
    missing = [name for k, name in enumerate(classes) if k not in tested]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return [f"no test images of class {', '.join(missing[:_NAMED])}{more}"] if missing else []

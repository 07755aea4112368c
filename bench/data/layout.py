"""How a folder of images is laid out: which folders are classes, which are splits, and what is the test set.

Torch-free, and no image is opened here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from bench.data.tree import image_files, is_split_folder, subfolders
from bench.errors import UserError, nearest, shown

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "val", "valid", "validation")  # the first that exists is the test set


@dataclass(frozen=True)
class Listing:
    """The images of a tree, as (path, class index), in the order of their names."""

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


def list_images(root: Path, test_share: float) -> Listing:
    """Lists and checks the tree. Raises UserError as `Folder.inspect` does."""
    train, test = (_first_split(root, names) for names in (TRAIN_FOLDERS, TEST_FOLDERS))
    if train and test:
        return _with_test(train, test, root)
    if test:
        raise UserError(f"{root}: has {test.name}/ but no train/ beside it")
    return _held_out(train or root, root, test_share)


def _first_split(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if is_split_folder(root / name)), None)


def _with_test(train: Path, test: Path, root: Path) -> Listing:
    classes = _classes(train)
    unknown = [c.name for c in subfolders(test) if c.name not in classes and image_files(c)]
    if unknown:
        raise UserError(f"{test}: class {unknown[0]!r} is not in {train}{nearest(unknown[0], classes)}")
    pool = [(file, k) for k, name in enumerate(classes) for file in _images(train / name)]
    tested = [(file, k) for k, name in enumerate(classes) for file in image_files(test / name)]
    notes = [f"the test set is the folder {test.name}/", *_unused(root, train, test)]
    return Listing(root, classes, pool, tested, notes + _untested(classes, tested, test))


def _held_out(folder: Path, root: Path, test_share: float) -> Listing:
    classes = _classes(folder)
    pool, test = [], []
    for k, name in enumerate(classes):
        files = _images(folder / name)
        tested = _chosen(files, folder, test_share)
        pool += [(file, k) for file in files if file not in tested]
        test += [(file, k) for file in files if file in tested]
    notes = [f"no test folder: {test_share:.0%} of each class are held out as the test set"]
    if folder != root:
        notes += _unused(root, folder)
    return Listing(root, classes, pool, test, notes + _untested(classes, test, folder))


def _chosen(files: list[Path], folder: Path, share: float) -> set[Path]:
    """The files to hold out: by the hash of their names, so that adding images moves few of the others."""

    def rank(file: Path) -> bytes:
        return hashlib.sha256(file.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")).digest()

    count = min(max(1, round(len(files) * share)), len(files) - 1)
    return set(sorted(files, key=rank)[:count])


def _classes(folder: Path) -> list[str]:
    names = [path.name for path in subfolders(folder)]
    if not names:
        raise UserError(f"{folder}: no class folders; want {folder}/<class>/<image>.jpg")
    for name in names:
        if shown(name).encode(errors="replace") != name.encode(errors="replace"):
            raise UserError(
                f"{folder}: the class folder {shown(name)} has a name that cannot be written; rename it"
            )
    if len(names) < 2:
        raise UserError(f"{folder}: only one class folder, {names[0]!r}; want at least 2 classes")
    return names


def _images(folder: Path) -> list[Path]:
    files = image_files(folder)
    if not files:
        raise UserError(f"{folder}: class {folder.name!r} has no images")
    return files


def _untested(classes: list[str], test: list[tuple[Path, int]], folder: Path) -> list[str]:
    """Remarks on classes without test images. Raises UserError if there is no test image at all."""
    if not test:
        raise UserError(f"{folder}: no test images in any class")
    tested = {label for _, label in test}
    missing = [name for k, name in enumerate(classes) if k not in tested]
    return [f"no test images of class {', '.join(missing)}"] if missing else []


def _unused(root: Path, *used: Path) -> list[str]:
    unused = [path.name for path in subfolders(root) if path not in used]
    return [f"folder {name}/ is left unused" for name in unused]

"""The folders beside each other that may be splits: what they are named, what they hold, which of them count. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.folders.split_names import SplitName, is_filling, split_name
from bench.data.folders.tree import Tree

DEEPEST = 4
"""So many folders may wrap each other."""

_SHARED = 2
"""So many class folders of the same name make two folders splits of one dataset."""


@dataclass(frozen=True)
class Candidate:
    """A folder. inner: where its contents begin, below folders that only wrap them.

    shape: "classes" (folders alone), "flat" (pictures alone), "mixed", or "empty". folders: the names of those within.
    """

    path: Path
    inner: Path
    name: SplitName | None
    shape: str
    folders: frozenset[str]

    @property
    def structured(self) -> bool:
        return self.shape in ("classes", "mixed")

    @property
    def role(self) -> str:
        return self.name.role if self.name else ""


def candidates(tree: Tree, folder: Path) -> list[Candidate]:
    """The folders in `folder` that hold something. None are looked into where no name speaks of a split."""
    paths = tree.subfolders(folder)
    if not any(split_name(path.name) for path in paths):
        return []
    found = [look(tree, path) for path in paths]
    return [c for c in found if c.shape != "empty" and (c.name or tree.holds_images(c.path))]


def look(tree: Tree, path: Path, classes: Sequence[str] = ()) -> Candidate:
    """classes: of the other split, if known: a folder of that name wraps nothing."""
    name = split_name(path.name)
    inner = _unwrapped(tree, path, name, classes)
    folders = tree.subfolders(inner)
    if not tree.has_pictures(inner):
        shape = "classes" if folders else "empty"
    else:
        shape = "mixed" if any(tree.holds_images(f) for f in folders) else "flat"
    return Candidate(path, inner, name, shape, frozenset(f.name for f in folders))


def likely(found: list[Candidate]) -> list[Candidate]:
    """Those that are taken for splits: by a sure name, or by one that another split makes sure."""
    named = [c for c in found if c.name]
    all_splits = len(named) == len(found) and all(c.structured for c in named)
    both = {"train"} < {c.role for c in named}
    return [
        c
        for c in named
        if (c.name and c.name.sure)
        or (all_splits and both)
        or any(_belong(c, d) for d in named if d is not c)
    ]


def _belong(a: Candidate, b: Candidate) -> bool:
    """cifar_train and cifar_test; or folders with the same class folders in them."""
    assert a.name and b.name
    if a.role != b.role and a.name.stem and a.name.stem == b.name.stem:
        return True
    shared = len(a.folders & b.folders)
    return a.structured and b.structured and shared >= min(_SHARED, len(a.folders), len(b.folders)) > 0


def _unwrapped(tree: Tree, path: Path, name: SplitName | None, classes: Sequence[str]) -> Path:
    for _ in range(DEEPEST):
        folders = tree.subfolders(path)
        if len(folders) != 1 or folders[0].name in classes or tree.has_pictures(path):
            return path
        inner = split_name(folders[0].name)
        same = name and inner and inner.sure and inner.role == name.role
        holds_folders = tree.subfolders(folders[0]) and not tree.has_pictures(folders[0])
        if not (same or holds_folders or (name and is_filling(folders[0].name))):
            return path
        path = folders[0]
    return path

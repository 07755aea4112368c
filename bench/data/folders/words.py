"""What is said of a folder's layout: refusals with their way out, and remarks. Torch-free."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.core.errors import shown
from bench.data.folders.candidates import Candidate
from bench.data.folders.tree import Tree

_NAMED = 3  # folders or files that a message names
_PLAIN = re.compile(r"[A-Za-z_][\w./ -]*")  # what YAML takes as text without quotes; not all of it


def flat(root: Path, folder: Path, splits: list[Candidate], others: list[Candidate]) -> str:
    named = f"{folder}: {names(splits)} {verb(splits, 'is named as a split', 'are named as splits')}"
    if others:
        return (
            f"{named}, but {verb(splits, 'lies', 'lie')} beside {names(others)} without class folders of "
            f"{verb(splits, 'its', 'their')} own; move elsewhere what is no class; {if_classes(root, folder)}"
        )
    example = next((c for c in splits if c.role == "train"), splits[0]).path
    hint = f"; {if_classes(root, folder)}" if len(splits) > 1 else ""
    return (
        f"{named} and {verb(splits, 'holds', 'hold')} pictures, no class folders; want "
        f"{shown(example)}/<class>/<image>.jpg{hint}"
    )


def no_train(root: Path, folder: Path, splits: list[Candidate], others: list[Candidate]) -> str:
    hint = f"; {if_classes(root, folder)}" if others else ""
    return f"{folder}: has {names(splits)} but no train/ beside it{hint}"


def not_alone(root: Path, folder: Path, train: Candidate, others: list[Candidate]) -> str:
    return (
        f"{folder}: {names([train])} holds folders, and {names(others)} {verb(others, 'lies', 'lie')} beside it; "
        f"if it holds the classes, say {say(root, train, 'train')}; {if_classes(root, folder)}"
    )


def splits_within(root: Path, split: Candidate, nested: list[Path], train: Path | None) -> str:
    """train: the one of them that is named as the training images."""
    one = len(nested) == 1
    hint = f"; or say options: {{train: {json.dumps(train.relative_to(root).as_posix())}}}" if train else ""
    return (
        f"{shown(split.inner)}: {listed([f'{path.name}/' for path in nested], 'and')} among its folders "
        f"{'is named as a split' if one else 'are named as splits'}, not as {'a class' if one else 'classes'}; move or "
        f"rename {'it' if one else 'them'}{hint}"
    )


def below_classes(root: Path, folder: Path, holders: list[Path]) -> str:
    return (
        f"{folder}: {listed([path.name for path in holders])} each hold folders for training and for test; splits are "
        f"read as train/<class>/ and test/<class>/, so move them, or name one of these folders; "
        f"{if_classes(root, folder)}"
    )


def no_labels(tree: Tree, root: Path, folder: Path) -> str:
    count = in_words(len(tree.pictures(folder)))
    return f"folder {under(root, folder)} is left unused: {count} and no class folders, so no labels"


def if_classes(root: Path, folder: Path) -> str:
    where = "" if folder == root else f"name {shown(folder)} in the study and "
    return f"if these folders are the classes, {where}say options: {{layout: classes}}"


def say(root: Path, split: Candidate, option: str) -> str:
    value = split.path.relative_to(root).as_posix()
    return f"options: {{{option}: {value if _PLAIN.fullmatch(value) else json.dumps(value)}}}"


def stray(tree: Tree, split: Candidate) -> str:
    pictures = tree.pictures(split.inner)
    return (
        f"{shown(split.inner)}: {in_words(len(pictures))} beside its class folders "
        f"({listed([p.name for p in pictures])}); move them into a class, or out of it"
    )


def loose(tree: Tree, folder: Path) -> list[str]:
    pictures = tree.pictures(folder)
    if not pictures:
        return []
    which = listed([p.name for p in pictures])
    return [f"{in_words(len(pictures))} in {shown(folder.name)}/ itself, of no class: left out ({which})"]


def unused(path: Path) -> str:
    return f"folder {shown(path.name)}/ is left unused"


def in_words(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def names(found: list[Candidate]) -> str:
    return listed([f"{c.path.name}/" for c in found], "and")


def listed(names: list[str], last: str = "") -> str:
    """The first few."""
    first = [shown(name) for name in names[:_NAMED]]
    if len(names) > _NAMED:
        return ", ".join([*first, "..."])
    return (
        f" {last} ".join([", ".join(first[:-1]), first[-1]]) if last and len(first) > 1 else ", ".join(first)
    )


def verb(found: list[Candidate], one: str, several: str) -> str:
    return one if len(found) == 1 else several


def under(root: Path, folder: Path) -> str:
    """`archive/train/`."""
    return f"{shown(folder.relative_to(root).as_posix())}/"

"""Which folders of a tree are its splits: by their names, and by what they hold where names leave a doubt. Torch-free.

A folder that is named as a split and holds class folders is one, also below folders that only wrap it. What can be read in
two ways is refused by name, with the option that settles it: two splits must never pass for two classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.errors import UserError, nearest, shown
from bench.data.folders import words as words
from bench.data.folders.candidates import DEEPEST, Candidate, candidates, likely, look
from bench.data.folders.split_names import split_name
from bench.data.folders.tree import Tree

NO_TEST = "none"
"""The option `test` that leaves a test folder aside."""

_FOLD = re.compile(
    r"(?i)(folds?|splits?|partitions?|parts?|subsets?|sets?|batch|chunks?|shards?|cv|k)[\W_]*\d+"
)

_OTHER_WORDS = """
    tr te va ts learn learning fit calibration query gallery probe source target labeled labelled unlabeled unlabelled
    entrenamiento prueba validacion treino treinamento teste validacao entrainement apprentissage addestramento
"""
_OTHER_SPLITS = frozenset(_OTHER_WORDS.split())
"""Names of splits that are too short, too general or too rare to count beside classes: only where no other names are."""


@dataclass(frozen=True)
class Choice:
    """What a study says of a layout. train, test: folders, relative to the dataset's; None: to be found."""

    layout: str = "auto"
    train: str | None = None
    test: str | None = None


AUTO = Choice()


@dataclass(frozen=True)
class Found:
    """`train` holds the class folders; so does `test`, or a share is to be held out. notes: of what lies beside them."""

    train: Path
    test: Path | None = None
    notes: list[str] = field(default_factory=list)


def detect(tree: Tree, root: Path, choice: Choice) -> Found:
    """The splits of a tree, or the folder of its classes. Raises UserError for what can be read in two ways."""
    if choice.layout == "classes":
        if choice.train or choice.test:
            raise UserError(
                f"{root}: the option layout: classes says that there are no splits; train and test name some"
            )
        return Found(root, None, words.loose(tree, root))
    if choice.train or choice.test not in (None, NO_TEST):
        return _as_named(tree, root, choice)
    folder, notes = root, words.loose(tree, root)
    while len(folder.relative_to(root).parts) <= DEEPEST:
        beside = candidates(tree, folder)
        splits = _splits(tree, root, folder, beside, test=choice.test != NO_TEST)
        if splits:
            return Found(splits.train, splits.test, [*splits.notes, *notes])
        inner = _wrapped(tree, root, folder)
        if inner is None:
            return _classes_in(tree, root, folder, notes)
        notes += [words.unused(path) for path in tree.subfolders(folder) if path != inner]
        folder = inner
        notes += words.loose(tree, folder)
    raise UserError(
        f"{root}: no classes in {DEEPEST + 1} folders within each other; name the folder that holds them"
    )


def _classes_in(tree: Tree, root: Path, folder: Path, notes: list[str]) -> Found:
    names = [path.name for path in tree.subfolders(folder)]
    if len(names) > 1 and all(name.lower() in _OTHER_SPLITS for name in names):
        raise UserError(
            f"{folder}: {words.listed(names)} are named as splits of a dataset, not as classes; give the folders "
            f"to train and to test on as options train and test; {words.if_classes(root, folder)}"
        )
    if len(names) > 1 and all(_FOLD.fullmatch(name) for name in names):
        raise UserError(
            f"{folder}: {words.listed(names)} are named as parts of a dataset, not as classes; merge them; "
            f"{words.if_classes(root, folder)}"
        )
    where = [] if folder == root else [f"the classes are the folders in {words.under(root, folder)}"]
    taken = [f"folder {shown(n)}/ is taken for a class, not for a split" for n in names if _sure(n)]
    return Found(folder, None, [*where, *taken, *_alike(tree, folder), *notes])


def _splits(tree: Tree, root: Path, folder: Path, beside: list[Candidate], test: bool) -> Found | None:
    """None where the folders in `folder` are classes, or wrap what is looked for."""
    splits = likely(beside)
    others = [c for c in beside if c not in splits]
    if not splits or _is_a_class(splits, others):
        return None
    if len(beside) == 1 and _holds_splits(tree, beside[0].inner):
        return None  # training/train/ and training/val/: it only wraps them
    if not any(c.structured for c in splits):
        raise UserError(words.flat(root, folder, splits, others))
    trains = [c for c in splits if c.role == "train"]
    structured = [c for c in trains if c.structured]
    if not structured:
        raise UserError(
            words.flat(root, folder, trains, []) if trains else words.no_train(root, folder, splits, others)
        )
    train = _only(root, structured, "train")
    chosen = _test(root, splits) if test else None
    if chosen is None and others and not any(c.role != "train" for c in splits):
        raise UserError(words.not_alone(root, folder, train, others))
    return _found(tree, root, train, chosen, beside)


def _is_a_class(splits: list[Candidate], others: list[Candidate]) -> bool:
    """The vehicle, and the opposite of invalid: one such folder with pictures, among others that are no splits."""
    if len(splits) > 1 or not others:
        return False
    only = splits[0]
    mixed = only.shape == "mixed" and not only.folders & {c.path.name for c in others}
    return bool(only.name and only.name.also_a_class) and (only.shape == "flat" or mixed)


def _test(root: Path, splits: list[Candidate]) -> Candidate | None:
    """A test folder rather than one of validation images; those without class folders cannot be used."""
    for role in ("test", "val"):
        found = [c for c in splits if c.role == role and c.structured]
        if found:
            return _only(root, found, "test")
    return None


def _only(root: Path, found: list[Candidate], option: str) -> Candidate:
    if len(found) > 1:
        raise UserError(
            f"{found[0].path.parent}: {words.names(found)} may each be the {option} folder; say which, as in "
            f"{words.say(root, found[0], option)}"
        )
    return found[0]


def _found(
    tree: Tree, root: Path, train: Candidate, test: Candidate | None, beside: list[Candidate]
) -> Found:
    if test:
        test = look(tree, test.path, sorted(train.folders))
    for split in (train, test):
        if split and split.shape == "mixed":
            raise UserError(words.stray(tree, split))
        if split:
            _refuse_splits_within(tree, root, split)
    used = {train.path, test.path if test else train.path}
    notes = []
    for other in beside:
        if other.path in used:
            continue
        if other.shape == "flat" and other.role in ("test", "val"):
            notes.append(words.no_labels(tree, root, other.inner))
        else:
            notes.append(words.unused(other.path))
    known = used | {c.path for c in beside}
    notes += [words.unused(path) for path in tree.subfolders(train.path.parent) if path not in known]
    notes += _alike(tree, train.inner)
    return Found(train.inner, test.inner if test else None, notes)


def _refuse_splits_within(tree: Tree, root: Path, split: Candidate) -> None:
    """Raises UserError where a folder among the classes of a split is a split itself: it holds the same classes."""
    inside = tree.subfolders(split.inner)
    names = {path.name for path in inside}
    held = [path for path in inside if _sure(path.name) and tree.holds_images(path)]
    nested = [path for path in held if names & {folder.name for folder in tree.subfolders(path)}]
    if _holds_splits(tree, split.inner):
        nested = held
    if nested:
        trains = [path for path in nested if (name := split_name(path.name)) and name.role == "train"]
        raise UserError(words.splits_within(root, split, nested, trains[0] if trains else None))


def _as_named(tree: Tree, root: Path, choice: Choice) -> Found:
    """The folders that the study names; the other of the two is looked for beside it."""
    no_test = choice.test in (None, NO_TEST)
    train = _option(tree, root, "train", choice.train) if choice.train else None
    test = None if no_test else _option(tree, root, "test", choice.test or "")
    folder = (train or test or look(tree, root)).path.parent
    known = [c.path for c in (train, test) if c]
    beside = candidates(tree, folder)
    splits = [c for c in likely(beside) if c.path not in known]
    if train is None:
        trains = [c for c in splits if c.role == "train" and c.structured]
        if not trains:
            raise UserError(
                f"{root}: the option test needs the option train beside it: no train folder was found"
            )
        train = _only(root, trains, "train")
    if choice.test is None:
        test = _test(root, splits)
    if test and (train.path in (test.path, *test.path.parents) or test.path in train.path.parents):
        raise UserError(f"{root}: the options train and test name the same folder, or one within the other")
    return _found(tree, root, train, test, beside)


def _option(tree: Tree, root: Path, option: str, value: str) -> Candidate:
    path = root / value
    if Path(value).is_absolute() or ".." in Path(value).parts or path == root:
        raise UserError(f"{root}: option {option}: {value!r} is no folder below it")
    if not path.is_dir():
        names = [p.name for p in tree.subfolders(path.parent)]
        raise UserError(f"{root}: option {option}: there is no folder {value!r}{nearest(path.name, names)}")
    found = look(tree, path)
    if not found.structured:
        raise UserError(f"{root}: option {option}: {shown(value)} has no class folders")
    return found


def _wrapped(tree: Tree, root: Path, folder: Path) -> Path | None:
    """The one folder that only holds what is looked for. Raises UserError where splits lie below classes."""
    inside = tree.subfolders(folder)
    if len(inside) == 1:
        inner = inside[0]
        return inner if tree.subfolders(inner) and not tree.has_pictures(inner) else None
    holders = [path for path in inside if _holds_splits(tree, path)]
    if len(holders) > 1:
        raise UserError(words.below_classes(root, folder, holders))
    return holders[0] if holders else None


def _holds_splits(tree: Tree, folder: Path) -> bool:
    named = [(path, split_name(path.name)) for path in tree.subfolders(folder)]
    roles = {name.role for path, name in named if name and name.sure and tree.holds_images(path)}
    return "train" in roles and len(roles) > 1


def _sure(name: str) -> bool:
    found = split_name(name)
    return bool(found and found.sure)


def _alike(tree: Tree, folder: Path) -> list[str]:
    """A remark where every class has the same folders in it, as splits or domains with other names would."""
    inside = [frozenset(p.name for p in tree.subfolders(path)) for path in tree.subfolders(folder)]
    if len(inside) < 2 or len(inside[0]) < 2 or len(set(inside)) > 1:
        return []
    return [f"all classes hold the same folders ({words.listed(sorted(inside[0]))}): are those the classes?"]

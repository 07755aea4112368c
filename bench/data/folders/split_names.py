"""What the name of a folder says of it: a split of a dataset, surely or perhaps, or nothing. Torch-free.

Surely: the name is a word for a split and filling words, in any case and glued together in any way: Training, TEST_SET,
seg_train, train2017, images-train, trainset, Test Set. Perhaps: such a word beside others: cifar_train, train_augmented, but
also a test tube and training shoes. What the folders hold decides there (`bench.data.folders.layout`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Role = Literal["train", "test", "val"]

_ROLES: dict[Role, str] = {
    "train": "train training trn trainval",
    "test": "test tests testing tst testdev holdout",
    "val": "val valid validation validate validating vld dev devel development eval evaluation",
}
_ROLE_OF: dict[str, Role] = {word: role for role, words in _ROLES.items() for word in words.split()}

_FILLING_WORDS = """
    set sets data dataset datasets split splits subset image images img imgs picture pictures pic pics photo photos jpg
    jpeg jpegs png pngs tif tiff folder folders dir sample samples example examples class classes classified seg raw
    final full all whole my original orig resized cropped crops processed preprocessed prepared clean cleaned labeled
    labelled v x px size
"""

_FILLING = frozenset(_FILLING_WORDS.split())
"""Words that say nothing of what is on the images."""

_ALSO_A_CLASS = ("train", "valid")
"""A vehicle, and the opposite of invalid: alone among folders of images, with images in it, such a folder is a class."""

_GLUED = re.compile(
    r"(?P<before>(?:{filling})*)(?P<role>{roles})(?P<after>(?:{filling})*)\d*".format(
        filling="|".join(sorted((w for w in _FILLING if len(w) > 2), key=len, reverse=True)),
        roles="|".join(sorted(_ROLE_OF, key=len, reverse=True)),
    )
)
_AT_END = re.compile(r"(.{2,}?)(train|test|val|valid)")  # flowerstrain, but also latest and constrain
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+")


@dataclass(frozen=True)
class SplitName:
    """`role`: what the name says that the folder is; `sure`: whether nothing else is in it; `stem`: what else is."""

    role: Role
    sure: bool
    stem: frozenset[str]
    also_a_class: bool = False


@lru_cache(maxsize=100_000)
def split_name(name: str) -> SplitName | None:
    """None for a name without a word for a split, or with words for training and for testing both."""
    words = _words(name)
    roles = {_ROLE_OF[word] for word in words if word in _ROLE_OF}
    if not roles or {"train", "test"} <= roles:
        return None
    role = next(r for r in ("train", "test", "val") if r in roles)  # trainval trains, test-dev tests
    stem = frozenset(w for w in words if w not in _ROLE_OF and w not in _FILLING and not w.isdigit())
    return SplitName(role, not stem, stem, name.lower() in _ALSO_A_CLASS)


def is_filling(name: str) -> bool:
    """Whether a folder of that name is only there to hold others: images, data, raw."""
    words = [word for word in _words(name) if not word.isdigit()]
    return bool(words) and all(word in _FILLING for word in words)


def _words(name: str) -> list[str]:
    """In small letters; trainset, TrainSet and train2017 are a word for a split each, but for what says nothing."""
    parts = re.split(r"[\W_]+", re.sub(r"(?i)hold[\W_]out", "holdout", name))
    return [word for part in parts for word in _of_part(part)]


def _of_part(part: str) -> list[str]:
    glued = _GLUED.fullmatch(part.lower())
    if glued:
        return [glued["role"]]
    words = [word.lower() for word in _WORDS.findall(part)]
    at_end = _AT_END.fullmatch(words[0]) if len(words) == 1 and words[0] not in _ROLE_OF else None
    return list(at_end.groups()) if at_end else words

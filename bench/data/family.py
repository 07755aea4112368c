"""What a family of datasets is: the interface behind every dataset name. Torch-free.

A new kind of dataset is one subclass of `Family` and one entry in `bench.data.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.core.errors import UserError
from bench.data.options import Option

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before its images are read; None: only once it is downloaded.

    Attributes:
        classes: their names, in the order of labels.
        pool_counts: images per class to draw training and validation from, duplicates still among them.
        test_count: test images.
        notes: remarks for the plan.
        content: of a folder, a digest of its files, names and classes; "" where the name and options say it all.
    """

    classes: list[str] | None
    pool_counts: list[int] | None
    test_count: int | None
    notes: list[str] = field(default_factory=list)
    content: str = ""


LARGE = 1.5
"""Times the stored side, the side of the images that crops are drawn from: 384 px for 224, as in FFCV's ImageNet recipes."""


@dataclass(frozen=True)
class Resolution:
    """How large images are kept, in pixels.

    Attributes:
        size: side of what the network sees.
        stored: the square side at which photographs are kept, whose centre the network sees; sets that are rendered
            (synthetic, digits) are rendered at `size`.
        interpolation: Pillow's name of a filter.
        crops: whether the pool is kept once more in more detail, to draw random crops from: a crop of an image that
            was made smaller before is blurred, and what is learned from it is worse (docs/findings.md).
    """

    size: int
    stored: int
    interpolation: str = "bicubic"
    crops: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.size <= self.stored:
            raise ValueError(f"want 0 < size <= stored, got size {self.size}, stored {self.stored}")

    def sides(self, largest: int) -> list[int]:
        """[stored], or [stored, R] for crops: at which a pool is kept whose largest image has `largest` pixels a side."""
        large = min(round(LARGE * self.stored), largest)
        return [self.stored, large] if self.crops and large > self.stored else [self.stored]

    def content(self) -> dict[str, Any]:
        """What decides the pixels, for fingerprints."""
        seen = {name: value for name, value in vars(self).items() if name != "crops"}
        return {**seen, "crops": "pixel by pixel"} if self.crops else seen


@dataclass(frozen=True)
class Request:
    """A dataset as asked for.

    Attributes:
        name: as in the study.
        argument: what follows the family's prefix.
        options: all of them, checked.
        base: the folder that relative paths start from.
        cache: where digests of files are remembered; None: nowhere.
        content: what `DatasetInfo.content` was when the study was planned, "" for whatever it is now.
    """

    name: str
    argument: str
    options: dict[str, Any]
    base: Path
    cache: Path | None = None
    content: str = ""


class Chunk(NamedTuple):
    """A few images.

    Attributes:
        names: of the images, for remarks.
        labels: whole numbers from 0.
        images: uint8 [b, 3, S, S].
        large: the same images, uint8 [b, 3, R, R], R > S, for crops; None where they have no more pixels, or none were
            asked for.
    """

    names: list[str]
    labels: list[int]
    images: np.ndarray
    large: np.ndarray | None = None


@dataclass(frozen=True)
class Stream:
    """A dataset being read: first `test`, then `pool`, each once.

    Attributes:
        classes: their names; None: as many as the labels turn out to have.
        test: the test images.
        pool: the images that training and validation are drawn from.
        notes: what was known before.
        found: what reading them shows, complete once both have been read.
    """

    classes: list[str] | None
    test: Iterable[Chunk]
    pool: Iterable[Chunk]
    notes: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


def refuse_changed(request: Request, content: str) -> None:
    """Raises UserError where a dataset is no longer what it was when the study was planned."""
    if request.content not in ("", content):
        raise UserError(
            f"dataset {request.name!r}: its images have changed since the study was planned; run again"
        )


class Family(ABC):
    """Datasets that share a way of reading.

    Attributes:
        name: how `bench datasets` shows it, such as "torch/NAME".
        prefix: what their names begin with; the rest is the request's argument. A family of one dataset has its whole
            name as the prefix, and no argument.
        summary: one line for `bench datasets`.
        options: what a study may set, by name.
    """

    name: str
    prefix: str
    summary: str
    options: dict[str, Option]

    @abstractmethod
    def inspect(self, request: Request) -> DatasetInfo:
        """Check the request and count, without torch and without decoding images.

        Raises:
            UserError: naming the dataset, where it is not what was asked for.
        """

    @abstractmethod
    def fingerprint(self, request: Request, resolution: Resolution) -> dict[str, Any]:
        """JSON content that changes whenever the prepared images would.

        Raises:
            UserError: as `inspect` does.
        """

    @abstractmethod
    def open(self, request: Request, resolution: Resolution, cache: Path) -> Stream:
        """Start reading.

        Args:
            request: the dataset, as asked for.
            resolution: how large images are kept.
            cache: where downloads go.

        Raises:
            UserError: here or while the stream is read, where images cannot be had.
        """

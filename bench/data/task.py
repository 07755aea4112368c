"""What a strategy may know of a run's data: training and validation images, never test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data.images import ImageSet


@dataclass(frozen=True)
class Task:
    """The target task of one run. `epochs` is the training budget that the phases of a strategy share."""

    train: ImageSet
    val: ImageSet
    num_classes: int
    epochs: int

    @cached_property
    def class_counts(self) -> Tensor:
        """[K] int64: training images of each class."""
        return self.train.class_counts(self.num_classes)

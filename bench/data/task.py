"""What a strategy may know of a run's data: training, validation and unlabelled images, never test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.core.errors import UserError
from bench.data.batch import Batch
from bench.data.evaluation import evaluation_input
from bench.data.images import ImageSet
from bench.models.model import Model


def no_teacher() -> Model:
    raise UserError("this strategy needs a teacher, and there is none here")


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches only (a last batch of one image breaks BatchNorm); a set smaller than a batch is one batch."""
    return max(1, images // batch_size)


@dataclass(frozen=True)
class Task:
    """The target task of one run. `epochs` is the training budget that the phases of a strategy share.

    unlabeled: [N, 3, S, S] uint8, the images of the dataset that are in no split of this run, without their labels.
    teacher: a network already fine-tuned on this very task, made on the first call of any run that needs it.
    apart: where `train` holds the validation images too (nothing is left to be chosen), it without them.
    frozen_features: [N, D] of images, where the backbone is frozen and they are known already.
    """

    train: ImageSet
    val: ImageSet
    num_classes: int
    epochs: int
    batch_size: int = 32
    unlabeled: Tensor | None = None
    teacher: Callable[[], Model] = no_teacher
    apart: ImageSet | None = None
    frozen_features: Callable[[ImageSet], Tensor | None] = lambda images: None

    @property
    def disjoint(self) -> tuple[ImageSet, ImageSet]:
        """Training and validation images that share none, for a method that chooses something itself."""
        return (self.train if self.apart is None else self.apart), self.val

    @cached_property
    def class_counts(self) -> Tensor:
        """[K] int64: training images of each class."""
        return self.train.class_counts(self.num_classes)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.train), self.batch_size)

    def batches(self, model: Model, limit: int | None = None, seed: int | None = None) -> Iterator[Batch]:
        """Training images as they are (centre crop, normalised) on the model's device, `limit` batches at most.

        In stored order, so that results can be looked up by `Batch.index`; shuffled where there is a `seed`. For
        measurements that a strategy makes before or between its phases.
        """
        n = len(self.train)
        order = (
            torch.arange(n)
            if seed is None
            else torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        )
        for index in order.split(self.batch_size)[:limit]:
            yield self._as_they_are(self.train, index, model)

    def features(self, model: Model, images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
        """Features [N, D] float64 that the classifier takes, in eval mode, and labels [N], of the images as they are."""
        features = self.frozen_features(images)
        if features is None:
            features = torch.cat([model.eval_output(batch.x).features for batch in self._all(images, model)])
        return features.double().cpu().numpy(), images.y.numpy()

    def accuracy(self, model: Model, images: ImageSet) -> float:
        """The share of the images, as they are, that the model classifies rightly in eval mode."""
        guesses = (
            (model.eval_output(batch.x).logits.argmax(-1), batch.y) for batch in self._all(images, model)
        )
        return sum((guess == y).sum().item() for guess, y in guesses) / len(images)

    def _all(self, images: ImageSet, model: Model) -> Iterator[Batch]:
        for index in torch.arange(len(images)).split(self.batch_size):
            yield self._as_they_are(images, index, model)

    def _as_they_are(self, images: ImageSet, index: Tensor, model: Model) -> Batch:
        x = evaluation_input(images, index, model)
        y, device = images.y[index].to(x.device), x.device
        target = F.one_hot(y, self.num_classes).float()
        return Batch(x, y, target, torch.ones(len(y), device=device), index.to(device))

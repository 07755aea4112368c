"""The batches of a phase: labelled images in a new order every epoch, with unlabelled ones beside them where asked."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bench.api import Batch, Phase
from bench.backbones.model import Model
from bench.data.augment import augment
from bench.data.strong import strong_view, weak_view
from bench.data.task import Task, steps_per_epoch
from bench.errors import UserError
from bench.spec import TrainSpec


class Batches:
    """Images on the device, drawn from one CPU generator: every device and every strategy sees the same order."""

    def __init__(self, task: Task, train: TrainSpec, device: torch.device, seed: int) -> None:
        self.task, self.train, self.device = task, train, device
        self.x, self.y = task.train.x.to(device), task.train.y.to(device)
        self._unlabeled: Tensor | None = None
        self._seed, self._generator = seed, Generator().manual_seed(seed)
        # of its own, so that a strategy with unlabelled images sees the labelled ones in the same order as others
        self._generator_u = Generator().manual_seed(seed + 1)
        counts = task.class_counts.to(device).float()
        balanced = train.class_balance == "loss"
        self.class_weight = (
            counts.sum() / (len(counts) * counts.clamp(min=1)) if balanced else torch.ones_like(counts)
        )

    def generator(self, phase: Phase) -> Generator:
        """Preparations draw from their own: the training after them sees the order that all strategies see."""
        return Generator().manual_seed(self._seed + 2) if phase.preparation else self._generator

    @property
    def steps(self) -> int:
        return steps_per_epoch(len(self.y), self.train.batch_size)

    def epoch(self, model: Model, phase: Phase, generator: Generator | None = None) -> Iterator[Batch]:
        """One pass over the labelled images. `generator`: by default that of the training."""
        size, generator = self.train.batch_size, generator or self._generator
        order = torch.randperm(len(self.y), generator=generator).to(self.device)
        for i in range(self.steps):
            batch = self._labelled(model, order[i * size : (i + 1) * size], generator)
            if phase.unlabeled:
                batch = self._beside(model, batch, phase.unlabeled * len(batch.y))
            for change in phase.batch_maps:
                batch = change(batch)
            yield batch

    def _labelled(self, model: Model, index: Tensor, generator: Generator) -> Batch:
        y = self.y[index]
        x = augment(self.x[index], self.train.augment, model.image_size, model.mean, model.std, generator)
        target = F.one_hot(y, self.task.num_classes).float()
        return Batch(x, y, target, self.class_weight[y], index)

    def _beside(self, model: Model, batch: Batch, count: int) -> Batch:
        images = self._unlabeled_images()
        chosen = torch.randint(len(images), (count,), generator=self._generator_u).to(self.device)
        weak, strong = (
            view(images[chosen], self.train.augment, model, self._generator_u)
            for view in (weak_view, strong_view)
        )
        return Batch(batch.x, batch.y, batch.target, batch.weight, batch.index, weak, strong)

    def _unlabeled_images(self) -> Tensor:
        if self.task.unlabeled is None or not len(self.task.unlabeled):
            raise UserError(
                "this strategy learns from unlabelled images, but the labelled subset takes the whole dataset: "
                "use a smaller n_per_class"
            )
        if self._unlabeled is None:
            self._unlabeled = self.task.unlabeled.to(self.device)
        return self._unlabeled

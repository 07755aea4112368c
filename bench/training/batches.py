"""The batches of a phase: labelled images in a new order every epoch, with unlabelled ones beside them where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bench.core.errors import UserError
from bench.core.spec import TrainSpec
from bench.data.augment import draw, taken, view
from bench.data.images import at_hand
from bench.data.strong import strong_view, weak_view
from bench.data.task import Task, steps_per_epoch
from bench.data.views import views_of
from bench.methods.api import Batch, Output, Phase
from bench.models.model import Model
from bench.training.cached_features.cached import Cached
from bench.training.cached_features.recall import Compute, Memory
from bench.training.epoch_order import EpochOrder
from bench.training.profile_marks import SILENT, Parts


@dataclass
class FewViews:
    """The images of a batch (`bench.methods.api.Images`) that come in few views: nothing is computed twice, or unless
    asked for.
    """

    numbers: Tensor
    make: Callable[[], Tensor]
    memory: Memory
    cached: Cached | None
    rows: Tensor | None
    made: Tensor | None = None

    def pixels(self) -> Tensor:
        if self.made is None:
            self.made = self.make()
        return self.made

    def output(self, model: Model) -> Output | None:
        if self.cached is None or self.rows is None or model is not self.cached.prefix.model:
            return None
        return self.cached.output(self.rows, self.numbers, self.pixels)

    def recall(self, owner: object, compute: Compute) -> Mapping[str, Tensor]:
        return self.memory.recall(owner, self.numbers, self.pixels, compute)


class Batches:
    """Images on the device, drawn from one CPU generator: every device and every strategy sees the same order."""

    def __init__(
        self, task: Task, train: TrainSpec, device: torch.device, seed: int, parts: Parts = SILENT
    ) -> None:
        self.task, self.train, self.device, self.part = task, train, device, parts
        images = task.train.for_crops() if train.augment == "crop" else task.train
        self.images, self.y = at_hand(images, device), task.train.y.to(device)
        self.views = views_of(task.train, train.augment, train.views)
        self._memory = Memory(len(task.train) * self.views.count if self.views else 0, device)
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

    def epoch(
        self,
        model: Model,
        phase: Phase,
        generator: Generator | None = None,
        cached: Cached | None = None,
    ) -> Iterator[Batch]:
        """One pass over the labelled images. `generator`: by default that of the training.

        cached: of the phase's frozen part, where it has one: the images' pixels are then made on demand.
        """
        generator = generator or self._generator
        rows = cached.rows(self.task.train, self.views, phase.epochs) if cached and self.views else None
        for index in self._order(generator):
            with self.part("data"):
                batch = self._labelled(model, index, generator, cached, rows)
            with self.part("augment"):
                if phase.unlabeled:
                    batch = self._beside(model, batch, phase.unlabeled * len(batch.y))
                for change in phase.batch_maps:
                    batch = change(batch)
            yield batch

    def _order(self, generator: Generator) -> tuple[Tensor, ...]:
        """Which images each step of an epoch takes, [B] on the CPU, in a new order."""
        size = self.train.batch_size
        order = torch.randperm(len(self.y), generator=generator)[: self.steps * size]
        return tuple(order.split(size))

    def epoch_order(self, generator: Generator | None = None) -> EpochOrder:
        """What `epoch` would go through, as numbers of views: only where there are views, and nothing unlabelled."""
        assert self.views
        generator = generator or self._generator
        order = self._order(generator)
        numbers = torch.cat([self.views.choose(index, generator) for index in order])
        y = self.y[torch.cat(order).to(self.device)]
        weight = self.class_weight[y] if self.train.class_balance == "loss" else None
        return EpochOrder(numbers.to(self.device), y, weight=weight)

    def _labelled(
        self, model: Model, index: Tensor, generator: Generator, cached: Cached | None, rows: Tensor | None
    ) -> Batch:
        """index: [B] on the CPU. The order of what is drawn is the same whether anything is cached or not."""
        here = index.to(self.device)
        numbers = self.views.choose(index, generator) if self.views else None
        with self.part("augment"):
            if self.views is not None and numbers is not None:
                drawn = self.views.drawn(numbers)
            else:
                drawn = draw(self.train.augment, len(index), self.images.side, generator)

        def pixels() -> Tensor:
            with self.part("data"):
                x = taken(self.images, index, drawn, model.image_size, self.device)
            with self.part("augment"):
                return view(x, drawn, model.image_size, model.mean, model.std)

        images = pixels() if numbers is None else FewViews(numbers, pixels, self._memory, cached, rows)
        y = self.y[here]
        target = F.one_hot(y, self.task.num_classes).float()
        return Batch(images, y, target, self.class_weight[y], here)

    def _beside(self, model: Model, batch: Batch, count: int) -> Batch:
        images = self._unlabeled_images()
        chosen = torch.randint(len(images), (count,), generator=self._generator_u).to(self.device)
        weak, strong = (
            view(images[chosen], self.train.augment, model, self._generator_u)
            for view in (weak_view, strong_view)
        )
        return replace(batch, weak=weak, strong=strong)

    def _unlabeled_images(self) -> Tensor:
        if self.task.unlabeled is None or not len(self.task.unlabeled):
            raise UserError(
                "this strategy learns from unlabelled images, but the labelled subset takes the whole dataset: "
                "use a smaller n_per_class"
            )
        if self._unlabeled is None:
            self._unlabeled = self.task.unlabeled.to(self.device)
        return self._unlabeled

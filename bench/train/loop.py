"""The training loop: `for phase in strategy.phases(model, task): fit(phase)`. Knows no particular strategy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, optim
from torch.nn import functional as F

from bench import freeze
from bench.api import Batch, Phase
from bench.backbones.model import Model
from bench.compose import Composed
from bench.data.augment import augment
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.errors import Diverged
from bench.schema import Metric
from bench.spec import TrainSpec
from bench.train.checkpoint import Snapshot
from bench.train.cost import Clock
from bench.train.device import Numerics
from bench.train.evaluate import predict, score
from bench.train.optim import make_optimizer, make_schedule, set_learning_rates

Record = Callable[[int, int, dict[str, float]], None]
"""(epoch from 1, epochs of the whole run, metrics of that epoch) -> None; must not block."""


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches only (a last batch of one image breaks BatchNorm); a set smaller than a batch is one batch."""
    return max(1, images // batch_size)


def epoch_budget(images: int, train: TrainSpec) -> int:
    """`epochs`, or as many as `min_steps` optimisation steps need."""
    return max(train.epochs, math.ceil(train.min_steps / steps_per_epoch(images, train.batch_size)))


@dataclass
class Trainer:
    """Trains one model on one task, phase by phase. Best and last snapshots are taken where asked for."""

    model: Model
    task: Task
    train: TrainSpec
    numerics: Numerics
    clock: Clock
    seed: int
    record: Record
    snapshots: bool = False
    best: Snapshot | None = None
    last: Snapshot | None = None
    epoch: int = 0
    images_seen: int = 0
    trainable: int = 0
    _generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)
        device = self.numerics.device
        self._x, self._y = self.task.train.x.to(device), self.task.train.y.to(device)
        counts = self.task.class_counts.to(device).float()
        balanced = self.train.class_balance == "loss"
        self._class_weight = (
            counts.sum() / (len(counts) * counts.clamp(min=1)) if balanced else torch.ones_like(counts)
        )

    def run(self, strategy: Composed) -> None:
        """All phases in order. Raises `Diverged` at the end of the first epoch whose loss is not finite."""
        for phase in strategy.phases(self.model, self.task):
            self.fit(phase)

    def fit(self, phase: Phase) -> None:
        freeze.check(self.model, phase)
        optimizer = make_optimizer(phase, self.train)
        steps = phase.epochs * steps_per_epoch(len(self._y), self.train.batch_size)
        factor = make_schedule(self.train, steps)
        self.trainable = max(self.trainable, sum(p.numel() for g in phase.train for p in g.params))
        freeze.apply(self.model, phase)
        for epoch in range(phase.epochs):
            done = epoch * steps // phase.epochs
            with self.clock("train"):
                metrics = self._epoch(phase, optimizer, lambda i, done=done: factor((done + i) / steps))
            self.epoch += 1
            self._check_finite(metrics[Metric.TRAIN_LOSS], "the training loss", phase, metrics)
            with self.clock("eval"):
                logits = self.predict(self.task.val)
            self._check_finite(logits.abs().max().item(), "the largest output of the network", phase, metrics)
            scores = score(logits, self.task.val.y)
            metrics |= {Metric.VAL_ACCURACY_EPOCH: scores.accuracy, Metric.VAL_NLL_EPOCH: scores.nll}
            self.record(self.epoch, self.task.epochs, metrics)
            if self.snapshots:
                self.last = Snapshot.take(
                    self.model, optimizer, self.epoch, phase.name, scores.accuracy, scores.nll
                )
                self.best = self.last if self.last.better_than(self.best) else self.best

    def predict(self, images: ImageSet) -> Tensor:
        """Logits [N, K], in batches no larger than the training's: evaluation must not set the memory peak."""
        return predict(self.model, images, self.numerics, self.train.batch_size)

    def _check_finite(self, value: float, what: str, phase: Phase, metrics: dict[str, float]) -> None:
        if not math.isfinite(value):
            self.record(self.epoch, self.task.epochs, metrics)
            raise Diverged(f"{what} is {value} in epoch {self.epoch} ({phase.name})")

    def _epoch(
        self, phase: Phase, optimizer: optim.Optimizer, factor: Callable[[int], float]
    ) -> dict[str, float]:
        """One pass over the training images. Sums stay on the device: one synchronisation an epoch.

        Returns means over the epoch, and the highest learning rate of each group.
        """
        terms: dict[str, Tensor] = {}
        correct = torch.zeros((), device=self.numerics.device)
        seen = 0
        rates: dict[str, float] = {}
        hits: list[Tensor] = []
        handle = self.model.register_forward_hook(lambda m, i, logits: hits.append(logits.detach()))
        try:
            for i, batch in enumerate(self._batches()):
                set_learning_rates(optimizer, factor(i))
                rates = {
                    f"lr/{g['name']}": max(g["lr"], rates.get(f"lr/{g['name']}", 0.0))
                    for g in optimizer.param_groups
                }
                with self.numerics.autocast():
                    losses = phase.loss(self.model, batch)
                sum(losses.values()).backward()  # type: ignore[union-attr]
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                for name, value in losses.items():
                    terms[name] = terms.get(name, 0) + value.detach().float()
                correct += (hits[0].argmax(-1) == batch.y).sum()
                hits.clear()
                seen += len(batch.y)
        finally:
            handle.remove()
        self.images_seen += seen
        mean = {name: (value / (i + 1)).item() for name, value in terms.items()}
        named = (
            {f"{Metric.TRAIN_LOSS}_{name}": value for name, value in mean.items()} if len(mean) > 1 else {}
        )
        return {
            Metric.TRAIN_LOSS: sum(mean.values()),
            Metric.TRAIN_ACCURACY: correct.item() / seen,
            **named,
            **rates,
        }

    def _batches(self) -> Iterator[Batch]:
        n, size = len(self._y), self.train.batch_size
        order = torch.randperm(n, generator=self._generator).to(self._y.device)
        for i in range(steps_per_epoch(n, size)):
            index = order[i * size : (i + 1) * size]
            yield self._batch(index)

    def _batch(self, index: Tensor) -> Batch:
        model, y = self.model, self._y[index]
        x = augment(
            self._x[index], self.train.augment, model.image_size, model.mean, model.std, self._generator
        )
        target = F.one_hot(y, self.task.num_classes).float()
        smoothing = self.train.label_smoothing
        target = target * (1 - smoothing) + smoothing / self.task.num_classes
        return Batch(x, y, target, self._class_weight[y])

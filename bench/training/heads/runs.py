"""Runs on one task that train nothing but their heads, as one: what `Trainer` does of one run, of many heads at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Self

from torch import Tensor

from bench.core.errors import CutShort
from bench.methods.api import Group, Phase
from bench.planning.compose import Composed
from bench.training.cached_features.prefix import CLASSIFIER
from bench.training.cost import Clock
from bench.training.epochs import Record, training_metrics
from bench.training.heads.conditions import NotVectorizable, factors_of, phases_of
from bench.training.heads.update_rules import update_rule_of
from bench.training.heads.vectorized import Heads, HeadTrainer
from bench.training.loop import Trainer


@dataclass
class VectorizedHeads:
    """K runs under way.

    What each of them would have done just so by itself is on the trainer's clock; what is done for all at once is on
    `clock`, until `share` gives each its part. `alive`: the runs that have not diverged; `ends`: of each, what ended it
    before its time. z [N * views, D], z_val [M, D]: the features that the classifier takes.
    """

    trainer: Trainer
    phases: list[Phase]
    factors: list[float]
    z: Tensor
    z_val: Tensor
    heads: HeadTrainer
    clock: Clock
    alive: list[int] = field(init=False)
    ends: list[CutShort | None] = field(init=False)
    _trained: Heads = field(init=False)
    _accuracies: dict[int, float | None] = field(default_factory=dict)  # of the last epoch, by run

    def __post_init__(self) -> None:
        self.alive = list(range(len(self.phases)))
        self.ends = [None for _ in self.phases]

    @classmethod
    def of(cls, trainer: Trainer, strategies: Sequence[Composed]) -> Self:
        """One run for each strategy, all to be trained in the network of `trainer`.

        Raises:
            NotVectorizable: They cannot be trained as one; the trainer and its model cannot be used any more.
            UserError: timm cannot make the optimiser of the study.
        """
        model, task, train = trainer.model, trainer.task, trainer.train
        with trainer.clock("prepare"):
            phases = phases_of(model, task, strategies)
        rule = update_rule_of(train)
        if not rule:
            raise NotVectorizable(f"there is no vectorized {train.optimizer} with these options")
        factors = factors_of(phases, train, task.epochs * trainer.batches.steps)
        z, z_val = _features(trainer, phases[0])
        groups = [phase.train[0] for phase in phases]
        heads = HeadTrainer(
            Heads.of([model.classifier] * len(phases)),  # type: ignore[list-item]
            rule,
            [group.lr for group in groups],
            [group.weight_decay for group in groups],
            clip_grad=train.clip_grad,
        )
        return cls(trainer, phases, factors, z, z_val, heads, Clock(trainer.precision))

    def run(self, records: Sequence[Record]) -> list[CutShort | None]:
        """Train all. -> for each what ended it before its time, as `Trainer.run` would have raised it; or None."""
        steps = self.trainer.batches.steps
        for epoch in range(self.trainer.task.epochs):
            with self.trainer.epochs.training(self.clock):
                metrics, losses = self._epoch(self.factors[epoch * steps : (epoch + 1) * steps])
            with self.clock("eval"):
                self._end_diverged("the training loss", losses)
                if self.alive:
                    self._evaluate(metrics)
                for k, row in metrics.items():
                    self.trainer.epochs.record(records[k], row)
                    self._accuracies[k] = self.trainer.epochs.train_accuracy
            if not self.alive:
                break
        self._trained = self.heads.heads
        return self.ends

    def _epoch(self, factors: list[float]) -> tuple[dict[int, dict[str, float]], list[float]]:
        """One pass over the training images. -> by run what `Trainer` would log of it; the loss of each"""
        trainer = self.trainer
        order = trainer.batches.epoch_order()
        scores = self.heads.epoch(self.z, order, trainer.train.batch_size, factors)
        trainer.epochs.samples_seen += len(order)
        losses, accuracies = scores.loss.tolist(), scores.accuracy.tolist()
        metrics = {
            k: training_metrics(
                {"cross_entropy": loss}, accuracy, {self._group(k).name: self._group(k).lr * max(factors)}
            )
            for k, loss, accuracy in zip(self.alive, losses, accuracies, strict=True)
        }
        return metrics, losses

    def _group(self, k: int) -> Group:
        return self.phases[k].train[0]

    def _evaluate(self, metrics: dict[int, dict[str, float]]) -> None:
        """Scores on the validation images, as `Trainer` has them at the end of an epoch, added to the metrics by run."""
        val = self.trainer.task.val
        scores = self.heads.evaluate(self.z_val, val.y.to(self.trainer.precision.device))
        alive, nll = self.alive, scores.loss.tolist()
        if not all(map(isfinite, nll)):
            self._end_diverged("the largest output of the network", self._largest(self.z_val))
        for k, value, accuracy in zip(alive, nll, scores.accuracy.tolist(), strict=True):
            if k in self.alive:
                metrics[k] |= self.trainer.epochs.validation_metrics(accuracy, value)

    def _largest(self, z: Tensor) -> list[float]:
        return self.heads.logits(z).abs().amax(dim=(1, 2)).tolist()

    def _end_diverged(self, what: str, values: list[float]) -> None:
        """Runs whose value is not finite train no more. values: of those that are alive."""
        if all(map(isfinite, values)):
            return
        for k, value in zip(self.alive, values, strict=True):
            self.ends[k] = self.trainer.epochs.divergence(what, value, self.phases[k].name)
        finite = [i for i, value in enumerate(values) if isfinite(value)]
        self.alive = [self.alive[i] for i in finite]
        if self.alive:
            self.heads.keep(finite)

    def put(self, k: int) -> None:
        """The head that run k has trained into the network: one that has not been cut short."""
        self.trainer.epochs.train_accuracy = self._accuracies[k]
        self._trained.write(self.alive.index(k), self.trainer.model.classifier)  # type: ignore[arg-type]

    def share(self) -> None:
        """Of the time that all took at once, each gets an equal part."""
        seconds = self.trainer.clock.seconds
        for kind, taken in self.clock.seconds.items():
            for own in (kind, "total"):
                seconds[own] = seconds.get(own, 0.0) + taken / len(self.phases)


def _features(trainer: Trainer, phase: Phase) -> tuple[Tensor, Tensor]:
    """Of the training images by number of the view, and of the validation images."""
    task = trainer.task
    cached, views = trainer.begin(phase), trainer.batches.views
    if views is None:
        raise NotVectorizable("every look at an image is another crop")
    if cached is None or cached.prefix.border != CLASSIFIER:
        raise NotVectorizable("the classifier's input is not cached")
    with trainer.clock("train"):
        z = cached.rows(task.train, views, task.epochs)
    with trainer.clock("eval"):
        z_val = cached.features(task.val, "eval")
    if z is None or z_val is None or z.ndim != 2:
        raise NotVectorizable("the cache has no room for the classifier's input, or that is no vector")
    return z, z_val

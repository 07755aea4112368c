"""Runs on one task that train nothing but their heads, as one: the loop of `bench.training.loop` over many heads at a time.

What is asked is what the strategies yield, not what they are called: one phase that trains the linear classifier alone, by
gradient steps on the cross-entropy, above a body whose outputs are cached. Whatever else a strategy does, it is trained
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import isfinite
from typing import Any, Self

import timm.layers.linear
from torch import Tensor, nn

from bench.core.errors import CutShort, Diverged, UserError
from bench.core.schema import Metric
from bench.core.spec import TrainSpec
from bench.data.task import Task
from bench.methods import freeze
from bench.methods.api import Group, Phase
from bench.models.model import Model
from bench.planning.compose import Composed
from bench.training.cached_features.prefix import CLASSIFIER
from bench.training.cost import Clock
from bench.training.heads.vectorized import Heads, HeadTrainer
from bench.training.loop import Record, Trainer
from bench.training.optimizers import make_schedule
from bench.training.update_rules import rule_of

LINEAR = (nn.Linear, timm.layers.linear.Linear)
"""Classes, not what derives from them. timm's own, in EfficientNets and MobileNets, differs under torch.jit only."""


def phases_of(model: Model, task: Task, strategies: Sequence[Composed]) -> list[Phase] | None:
    """The phase of each; None where one of them does more than train the linear classifier of `model`, or other than that.

    None leaves `model` as the strategies have left it: it cannot be used any more.
    """
    head, before = model.classifier, _content(model)
    if not isinstance(head, nn.Linear) or type(head) not in LINEAR or head.bias is None:
        return None
    found: list[Phase] = []
    for strategy in strategies:
        try:
            phases = list(islice(strategy.phases(model, task), 2))
            strategy.finish(model)
            for phase in phases:
                freeze.check(model, phase)
        except UserError:  # its own run will say so
            return None
        if len(phases) != 1 or not _trains_only(phases[0], head, task) or _content(model) != before:
            return None
        found += phases
    return found


def _trains_only(phase: Phase, head: nn.Linear, task: Task) -> bool:
    plain = replace(phase, name="", train=(), schedule=None) == Phase("", task.epochs, ())
    if not plain or len(phase.train) != 1:
        return False
    params = [id(p) for p in phase.params]
    return sorted(params) == sorted([id(head.weight), id(head.bias)]) and phase.train[0].lr > 0


def _content(model: Model) -> list[Any]:
    """What changes when a module is put in or taken out, or a tensor is written to."""
    tensors = [*model.parameters(), *model.buffers()]
    return [*map(id, model.modules()), *((id(tensor), tensor._version) for tensor in tensors)]


def factors_of(phases: Sequence[Phase], train: TrainSpec, steps: int) -> list[float] | None:
    """On the learning rates at each step, as the loop has them; None where they are not the same for all."""
    own = make_schedule(train, steps)
    schedules = {phase.schedule or own for phase in phases}
    first, *others = [[schedule(i / steps) for i in range(steps)] for schedule in schedules]
    return first if all(factors == first for factors in others) else None


@dataclass
class Sweep:
    """K runs under way. What each of them would have to do just so is on the trainer's clock; what is done for all at
    once is on `clock`, until `share` gives each its part.
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

    def __post_init__(self) -> None:
        self.alive = list(range(len(self.phases)))
        self.ends = [None for _ in self.phases]

    @classmethod
    def of(cls, trainer: Trainer, strategies: Sequence[Composed]) -> Self | None:
        """None where they cannot be trained as one; the trainer and its model cannot be used then."""
        model, task, train = trainer.model, trainer.task, trainer.train
        with trainer.clock("prepare"):
            phases = phases_of(model, task, strategies)
        rule = rule_of(train)
        if not phases or not rule:
            return None
        factors = factors_of(phases, train, task.epochs * trainer.batches.steps)
        cached, views = trainer.begin(phases[0]), trainer.batches.views
        if factors is None or cached is None or cached.prefix.border != CLASSIFIER or views is None:
            return None
        with trainer.clock("train"):
            z = cached.rows(task.train, views, task.epochs)
        with trainer.clock("eval"):
            z_val = cached.features(task.val, "eval")
        if z is None or z_val is None or z.ndim != 2:
            return None
        groups = [phase.train[0] for phase in phases]
        heads = HeadTrainer(
            Heads.of([model.classifier] * len(phases)),  # type: ignore[list-item]
            rule,
            [group.lr for group in groups],
            [group.weight_decay for group in groups],
        )
        return cls(trainer, phases, factors, z, z_val, heads, Clock(trainer.precision))

    def run(self, records: Sequence[Record]) -> list[CutShort | None]:
        """Train all. -> for each what ended it before its time, as `Trainer.run` would have raised it; or None."""
        trainer, task = self.trainer, self.trainer.task
        steps = trainer.batches.steps
        for epoch in range(task.epochs):
            with self.clock("train"):
                metrics = self._epoch(self.factors[epoch * steps : (epoch + 1) * steps])
            with self.clock("eval"):
                if self.alive:
                    self._evaluate(metrics)
                for k, row in metrics.items():
                    records[k](trainer.epoch, task.epochs, row)
            if not self.alive:
                break
        self._trained = self.heads.heads
        return self.ends

    def _epoch(self, factors: list[float]) -> dict[int, dict[str, float]]:
        """One pass over the training images. -> run -> what `Trainer` would log of it"""
        trainer = self.trainer
        draw = trainer.batches.draw()
        scores = self.heads.epoch(self.z, draw, trainer.train.batch_size, factors)
        trainer.images_seen += len(draw)
        trainer.epoch += 1
        losses, accuracies = scores.loss.tolist(), scores.accuracy.tolist()
        metrics = {
            k: {
                Metric.TRAIN_LOSS: loss,
                Metric.TRAIN_ACCURACY: accuracy,
                f"lr/{self._group(k).name}": self._group(k).lr * max(factors),
            }
            for k, loss, accuracy in zip(self.alive, losses, accuracies, strict=True)
        }
        if not all(map(isfinite, losses)):
            self._leave_out("the training loss", losses)
        return metrics

    def _group(self, k: int) -> Group:
        return self.phases[k].train[0]

    def _evaluate(self, metrics: dict[int, dict[str, float]]) -> None:
        """Scores on the validation images (unless they are trained on), as `Trainer` has them at the end of an epoch."""
        val = self.trainer.task.val
        scores = self.heads.evaluate(self.z_val, val.y.to(self.trainer.precision.device))
        alive, nll = self.alive, scores.loss.tolist()
        if not all(map(isfinite, nll)):
            self._leave_out("the largest output of the network", self._largest(self.z_val))
        for k, value, accuracy in zip(alive, nll, scores.accuracy.tolist(), strict=True):
            if k in self.alive and self.trainer.task.apart is None:
                metrics[k] |= {Metric.VAL_ACCURACY_EPOCH: accuracy, Metric.VAL_NLL_EPOCH: value}

    def _largest(self, z: Tensor) -> list[float]:
        return self.heads.logits(z).abs().amax(dim=(1, 2)).tolist()

    def _leave_out(self, what: str, values: list[float]) -> None:
        """Those whose value is not finite have diverged, and train no more."""
        for k, value in zip(self.alive, values, strict=True):
            if not isfinite(value):
                end = Diverged(f"{what} is {value} in epoch {self.trainer.epoch} ({self.phases[k].name})")
                end.samples_seen = self.trainer.images_seen
                self.ends[k] = end
        finite = [i for i, value in enumerate(values) if isfinite(value)]
        self.alive = [self.alive[i] for i in finite]
        if self.alive:
            self.heads.keep(finite)

    def put(self, k: int) -> None:
        """The head that run k has trained into the network: one that has not been cut short."""
        self._trained.write(self.alive.index(k), self.trainer.model.classifier)  # type: ignore[arg-type]

    def share(self) -> None:
        """Of the time that all took at once, each gets an equal part."""
        seconds = self.trainer.clock.seconds
        for kind, taken in self.clock.seconds.items():
            for own in (kind, "total"):
                seconds[own] = seconds.get(own, 0.0) + taken / len(self.phases)

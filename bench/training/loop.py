"""The training loop: `for phase in strategy.phases(model, task): fit(phase)`. Knows no particular strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, optim

from bench.core.errors import CutShort
from bench.core.schema import Metric
from bench.core.spec import TrainSpec
from bench.data.evaluation import evaluation_input
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.methods import freeze
from bench.methods.api import Phase
from bench.models.model import Model
from bench.models.passes import PassLimit
from bench.planning.compose import Composed
from bench.training.batches import Batches
from bench.training.cached_features.border import find_prefix
from bench.training.cached_features.cached import Cached
from bench.training.cached_features.store import ActivationStore
from bench.training.checkpoint import Snapshot, weights_of
from bench.training.cost import Clock
from bench.training.cpu_kernels.active import cpu_kernels_of
from bench.training.device import Precision
from bench.training.epochs import Epochs, Record, training_metrics
from bench.training.evaluate import predict, score
from bench.training.micro_batches import backpropagate, fitted
from bench.training.optimizers import (
    carry_over,
    clip,
    make_optimizer,
    make_schedule,
    set_learning_rates,
    step,
)


@dataclass
class Trainer:
    """Trains one model on one task, phase by phase. Best and last snapshots are taken where asked for.

    activations: where what frozen parts make of the images is kept; without it they run anew at every step.
    pass_limit: how many images go through the network at once, as far as the device's memory allows.
    """

    model: Model
    task: Task
    train: TrainSpec
    precision: Precision
    clock: Clock
    seed: int
    record: Record
    snapshots: bool = False
    activations: ActivationStore | None = None
    best: Snapshot | None = None
    last: Snapshot | None = None
    trainable: int = 0
    pass_limit: PassLimit = field(default_factory=PassLimit)
    _cached: Cached | None = None
    batches: Batches = field(init=False)
    epochs: Epochs = field(init=False)
    _optimizer: optim.Optimizer | None = None

    def __post_init__(self) -> None:
        self.epochs = Epochs(self.task)
        self.batches = Batches(self.task, self.train, self.precision.device, self.seed, self.clock.parts)

    def run(self, strategy: Composed) -> None:
        """All phases in order. Raises `Diverged` at the end of the first epoch whose loss is not finite.

        What a strategy does between its phases counts as preparation. `UserError`: the device's memory is too small.
        """
        with fitted(self.pass_limit, self.model, self.train, self.precision.device):
            try:
                self._run(strategy)
            except CutShort as end:
                end.samples_seen = self.epochs.samples_seen
                raise

    def _run(self, strategy: Composed) -> None:
        phases = strategy.phases(self.model, self.task)
        while True:
            with self.clock("prepare"):
                phase = next(phases, None)
            if phase is None:
                break
            self.fit(phase)
        if self.train.evaluate == "best" and self.best:
            self.model.net.load_state_dict(self.best.weights)
        with self.clock("prepare"):
            strategy.finish(self.model)
            if self._cached and not self._cached.holds():
                self._cached = None
        tested = self.best if self.train.evaluate == "best" else self.last
        if tested and not tested.fits(self.model):
            tested.weights = weights_of(self.model)  # merged adapters, say: what is kept is what is tested

    def begin(self, phase: Phase) -> Cached | None:
        """Freeze what the phase does not train. -> what is cached of that"""
        freeze.check(self.model, phase)
        self.trainable = max(self.trainable, sum(p.numel() for p in phase.params))
        freeze.apply(self.model, phase)
        with self.clock("prepare" if phase.preparation else "train"), self.clock.parts("make"):
            self._cached = self._cache(phase)
        return self._cached

    def fit(self, phase: Phase) -> None:
        self.begin(phase)
        if self.best and not self.best.fits(self.model):
            self.best = None  # the network has another shape now: what it was cannot be evaluated any more
        if phase.solve:
            self._solve(phase)
        else:
            self._descend(phase)
        self.clock.parts.phase_over(self.model, self.epochs.samples_seen, self._skipped)
        if phase.eval_weights:
            self.model.net.load_state_dict(phase.eval_weights())

    def _skipped(self) -> str:
        views = self.batches.views
        return self._cached.skipped(self.task.train, views) if self._cached and views else ""

    def _cache(self, phase: Phase) -> Cached | None:
        """Of the part of the network that the phase leaves frozen, if there is one, and looking at it twice."""
        if self.activations is None or phase.epochs < 2:
            return None
        x = evaluation_input(self.task.train, slice(4), self.model, self.precision.device)
        found = find_prefix(self.model, x, self.precision) if len(x) > 1 else None
        return Cached(found, self.activations, self.clock.parts) if found else None

    def _solve(self, phase: Phase) -> None:
        assert phase.solve
        with self.clock("train"), self.clock.parts("solve"):
            phase.solve(self.model, replace(self.task, frozen_features=self._frozen_features))
        self.epochs.samples_seen += len(self.task.train)
        self.epochs.done += phase.epochs
        self._evaluate(phase, None, {})

    def _descend(self, phase: Phase) -> None:
        start, end = phase.span
        optimizer = make_optimizer(phase, self.train)
        if start > 0 and self._optimizer:
            carry_over(self._optimizer, optimizer)
        if not phase.preparation:  # a measurement between two parts of a run does not end it
            self._optimizer = optimizer
        steps = phase.epochs * self.batches.steps
        generator = self.batches.generator(phase)
        schedule = phase.schedule or make_schedule(self.train, round(steps / (end - start)))
        for epoch in range(phase.epochs):
            first = epoch * self.batches.steps

            def factor(i: int, first: int = first) -> float:
                return schedule(start + (end - start) * (first + i) / steps)

            with self.epochs.training(self.clock, phase.preparation), cpu_kernels_of(self.train):
                metrics = self._epoch(phase, optimizer, factor, generator)
            self._check_finite(metrics[Metric.TRAIN_LOSS], "the training loss", phase, metrics)
            if not phase.preparation:
                self._evaluate(phase, optimizer, metrics)

    def _frozen_features(self, images: ImageSet) -> Tensor | None:
        return self._cached.features(images) if self._cached else None

    def _evaluate(self, phase: Phase, optimizer: optim.Optimizer | None, metrics: dict[str, float]) -> None:
        """Scores on the validation images (unless they are trained on), and the snapshots, at the end of an epoch."""
        with self.clock("eval"), self._eval_weights(phase):
            logits = self.predict(self.task.val)
            self._check_finite(logits.abs().max().item(), "the largest output of the network", phase, metrics)
            scores = score(logits, self.task.val.y)
            metrics |= self.epochs.validation_metrics(scores.accuracy, scores.nll)
            with self.clock.parts("metrics"):
                self.epochs.record(self.record, metrics)
            if self.snapshots:
                self.last = Snapshot.take(
                    self.model, optimizer, self.epochs.done, phase.name, scores.accuracy, scores.nll
                )
                self.best = self.last if self.last.better_than(self.best) else self.best

    @contextmanager
    def _eval_weights(self, phase: Phase) -> Iterator[None]:
        """The phase's weights for evaluation in the network's place."""
        if not phase.eval_weights:
            yield
            return
        trained = {name: value.clone() for name, value in self.model.net.state_dict().items()}
        self.model.net.load_state_dict(phase.eval_weights())
        try:
            yield
        finally:
            self.model.net.load_state_dict(trained)

    def predict(self, images: ImageSet) -> Tensor:
        """Logits [N, K], in batches no larger than the training's: evaluation must not set the memory peak."""
        size = self.train.batch_size
        with fitted(self.pass_limit, self.model, self.train, self.precision.device):
            logits = self._cached.logits(images, size) if self._cached else None
            return predict(self.model, images, self.precision, size) if logits is None else logits

    def _check_finite(self, value: float, what: str, phase: Phase, metrics: dict[str, float]) -> None:
        if end := self.epochs.divergence(what, value, phase.name):
            self.epochs.record(self.record, metrics)
            raise end

    def _epoch(
        self,
        phase: Phase,
        optimizer: optim.Optimizer,
        factor: Callable[[int], float],
        generator: torch.Generator,
    ) -> dict[str, float]:
        """One pass over the training images. Sums stay on the device: one synchronisation an epoch.

        Returns means over the epoch, and the highest learning rate of each group.
        """
        terms: dict[str, Tensor] = {}
        correct = torch.zeros((), device=self.precision.device)
        seen, steps = 0, 0
        rates: dict[str, float] = {}
        part = self.clock.parts
        for batch in self.batches.epoch(self.model, phase, generator, self._cached):
            set_learning_rates(optimizer, factor(steps))
            for group in optimizer.param_groups:
                name = group["name"]
                rates[name] = max(group["lr"], rates.get(name, 0.0))
            losses = backpropagate(self.model, phase, batch, self.precision, self.pass_limit, part)
            with part("optimiser"):
                for hook in phase.backward_hooks:
                    hook(self.model)
                clip(optimizer, self.train)
                step(optimizer)
                optimizer.zero_grad(set_to_none=True)
                for hook in phase.step_hooks:
                    hook(self.model)
            with part("metrics"):
                for name, value in losses.items():
                    terms[name] = terms.get(name, 0) + value.detach().float()
                correct += (batch.output(self.model).logits.detach().argmax(-1) == batch.y).sum()
            seen, steps = seen + len(batch.y), steps + 1
        self.epochs.samples_seen += seen * (not phase.preparation)
        mean = {name: (value / steps).item() for name, value in terms.items()}
        return training_metrics(mean, correct.item() / seen, rates)

"""The bookkeeping of epochs, shared by `Trainer` (one run) and `VectorizedHeads` (many runs at once)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.core.errors import Diverged
from bench.core.schema import Metric
from bench.core.spec import TrainSpec
from bench.data.task import Task, steps_per_epoch
from bench.training.cost import Clock

Record = Callable[[int, int, dict[str, float]], None]
"""(epoch from 1, epochs of the whole run, metrics of that epoch) -> None; must not block."""


def epoch_budget(images: int, train: TrainSpec) -> int:
    """`epochs`, or as many as `min_steps` optimisation steps need."""
    return max(train.epochs, math.ceil(train.min_steps / steps_per_epoch(images, train.batch_size)))


@dataclass
class Epochs:
    """How far a training is. `done`: finished epochs, of all phases; `samples_seen`: images, counted each time.

    Preparations of a strategy count in neither.
    """

    task: Task
    done: int = 0
    samples_seen: int = 0
    train_accuracy: float | None = None  # of the epoch that was last done; None where it has none

    @contextmanager
    def training(self, clock: Clock, preparation: bool = False) -> Iterator[None]:
        """Around one pass over the training images: on the clock of training, or of preparation; then an epoch more."""
        with clock("prepare" if preparation else "train"):
            yield
        self.done += not preparation

    def record(self, record: Record, metrics: dict[str, float]) -> None:
        """Log the metrics of the epoch that was last done."""
        self.train_accuracy = metrics.get(Metric.TRAIN_ACCURACY)
        record(self.done, self.task.epochs, metrics)

    def divergence(self, what: str, value: float, phase: str) -> Diverged | None:
        """How a run ends whose `value` is not finite; None for a finite one."""
        if math.isfinite(value):
            return None
        end = Diverged(f"{what} is {value} in epoch {self.done} ({phase})")
        end.samples_seen = self.samples_seen
        return end

    def validation_metrics(self, accuracy: float, nll: float) -> dict[str, float]:
        """Of one epoch; none where the validation images are trained on, so that they have no more to say."""
        if self.task.apart is not None:
            return {}
        return {Metric.VAL_ACCURACY_EPOCH: accuracy, Metric.VAL_NLL_EPOCH: nll}


def training_metrics(
    losses: Mapping[str, float], accuracy: float, rates: Mapping[str, float]
) -> dict[str, float]:
    """Of one pass over the training images.

    Args:
        losses: mean of each term of the loss; where there are several, each is logged beside their sum.
        accuracy: share of the images that were classified rightly, each before its step.
        rates: the highest learning rate of each parameter group, by the group's name.
    """
    terms = {f"{Metric.TRAIN_LOSS}_{name}": value for name, value in losses.items()}
    return {
        Metric.TRAIN_LOSS: sum(losses.values()),
        Metric.TRAIN_ACCURACY: accuracy,
        **(terms if len(terms) > 1 else {}),
        **{f"lr/{name}": rate for name, rate in rates.items()},
    }

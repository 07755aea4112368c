"""Training on cached features of the frozen part."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.core.spec import TrainSpec
from bench.training.cached_features.store import ActivationStore
from bench.training.loop import Trainer
from tests.support.strategy_samples import TRAIN, gentle, make_model, make_task, make_trainer

FLIP = replace(TRAIN, augment="flip")


def trained(
    expression: str, network: str, store: ActivationStore | None, train: TrainSpec = FLIP
) -> tuple[Trainer, list[dict[str, float]], list[str | None]]:
    """A trained trainer, its log, and the border of each of its phases."""
    model, task = make_model(network), make_task(images=24)
    torch.manual_seed(3)
    trainer, log = make_trainer(model, task, train)
    trainer.activations = store
    borders: list[str | None] = []
    fit = trainer.fit

    def noted(phase) -> None:  # type: ignore[no-untyped-def]
        fit(phase)
        borders.append(trainer._cached.prefix.border if trainer._cached else None)

    trainer.fit = noted  # type: ignore[method-assign]
    trainer.run(gentle(expression))
    return trainer, log, borders

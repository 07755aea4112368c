"""Tiny networks and tasks that every strategy is tried on."""

from __future__ import annotations

from pathlib import Path

import torch

from bench import compose
from bench.backbones.build import build
from bench.backbones.model import Model
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.spec import BackboneSpec, TrainSpec
from bench.train.cost import Clock
from bench.train.device import choose
from bench.train.loop import Trainer

NETWORKS = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"]
SIZE = 32
CLASSES = 3
TRAIN = TrainSpec(epochs=4, batch_size=12, optimizer="adamw", numerics="fp32", warmup=0.0)


def make_model(network: str, seed: int = 0) -> Model:
    """Random weights stand in for pretrained ones; no zero-initialised last BatchNorm, which would hide gradients."""
    torch.manual_seed(seed)
    kwargs = {"zero_init_last": False} if network == "test_resnet" else {}
    spec = BackboneSpec(network, "random", kwargs=kwargs)
    return build(spec, CLASSES, SIZE, Path(".")).to(memory_format=torch.channels_last)


def make_task(images: int = 36, epochs: int = 4) -> Task:
    """Three classes told apart by their colour, so that a few steps suffice to learn."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(images) % CLASSES
    x = torch.randint(0, 100, (images, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    x[torch.arange(images), y] += 120
    return Task(ImageSet(x, y), ImageSet(x[:9], y[:9]), CLASSES, epochs)


def make_trainer(
    model: Model, task: Task, train: TrainSpec = TRAIN
) -> tuple[Trainer, list[dict[str, float]]]:
    numerics = choose(train)
    model.to(numerics.device)
    log: list[dict[str, float]] = []
    trainer = Trainer(model, task, train, numerics, Clock(numerics), 5, lambda e, n, m: log.append(m))
    return trainer, log


def composed(expression: str, **knobs: dict[str, float]) -> compose.Composed:
    return compose.build(compose.parse(expression, knobs))

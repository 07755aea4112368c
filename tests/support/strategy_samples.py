"""Tiny networks and tasks that every strategy is tried on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

import strategies
from bench.core.spec import BackboneSpec, TrainSpec
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.methods.api import Batch, Phase
from bench.models.build import build
from bench.models.model import Model
from bench.planning import compose
from bench.training.cost import Clock
from bench.training.device import choose
from bench.training.loop import Trainer

NETWORKS = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"]
DISTILLED = "deit_tiny_distilled_patch16_224"
"""Two linear classifiers, each on a token of its own."""
SMALLER: dict[str, dict[str, int]] = {DISTILLED: {"depth": 3, "embed_dim": 48, "num_heads": 2}}
SIZE = 32
CLASSES = 3
SOURCE_CLASSES = 7
TRAIN = TrainSpec(epochs=4, batch_size=12, optimizer="adamw", precision="fp32", warmup=0.0)


def make_model(network: str, seed: int = 0, **kwargs: float) -> Model:
    """Random weights stand in for pretrained ones; no zero-initialised last BatchNorm, which would hide gradients."""
    torch.manual_seed(seed)
    extra = {"zero_init_last": False} if network == "test_resnet" else {}
    spec = BackboneSpec(network, "random", kwargs={**extra, **SMALLER.get(network, {}), **kwargs})
    model = build(spec, CLASSES, SIZE, Path(".")).to(memory_format=torch.channels_last)
    model._load_source_head = source_head(model.feature_dim)
    return model


def source_head(features: int) -> Callable[[], nn.Module]:
    """Stands in for the classifier that pretrained weights come with: always the same one."""

    def load() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(77)
            return nn.Linear(features, SOURCE_CLASSES)

    return load


def make_task(images: int = 36, epochs: int = 4) -> Task:
    """Three classes told apart by their colour, so that a few steps suffice to learn; as many images without labels."""
    y = torch.arange(images) % CLASSES
    x = coloured(y, seed=1)
    unlabeled = coloured(torch.arange(24) % CLASSES, seed=2)
    return Task(ImageSet(x, y), ImageSet(x[:9], y[:9]), CLASSES, epochs, 12, unlabeled, make_teacher)


def coloured(y: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 100, (len(y), 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    x[torch.arange(len(y)), y] += 120
    return x


@lru_cache(maxsize=1)
def make_teacher() -> Model:
    """Knows the task, as a teacher must: one that did not would teach the opposite of the labels."""
    with torch.random.fork_rng(devices=[]):
        model = make_model("test_efficientnet", seed=8)
        trainer, _ = make_trainer(model, make_task(epochs=6))
        trainer.run(composed("full", full={"lr": 3e-3}))
    return model.requires_grad_(False).eval()


def make_trainer(
    model: Model, task: Task, train: TrainSpec = TRAIN
) -> tuple[Trainer, list[dict[str, float]]]:
    precision = choose(train)
    model.to(precision.device)
    log: list[dict[str, float]] = []
    trainer = Trainer(model, task, train, precision, Clock(precision), 5, lambda e, n, m: log.append(m))
    return trainer, log


def composed(expression: str, **hyperparameters: dict[str, object]) -> compose.Composed:
    return compose.build(compose.parse(expression, hyperparameters))


def first_phase(
    expression: str, model: Model, task: Task | None = None, **hyperparameters: dict[str, object]
) -> Phase:
    return next(composed(expression, **hyperparameters).phases(model, task or make_task()))


def a_batch(n: int = 4, unlabeled: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(n, 3, SIZE, SIZE, generator=generator)
    y = torch.arange(n) % CLASSES
    views = (
        [torch.randn(unlabeled, 3, SIZE, SIZE, generator=generator) for _ in range(2)]
        if unlabeled
        else [None] * 2
    )
    target = nn.functional.one_hot(y, CLASSES).float()
    return Batch(x, y, target, torch.ones(n), torch.arange(n), *views)


def is_strategy(name: str) -> bool:
    return issubclass(strategies.get(name), strategies.Strategy)


STRATEGIES = [name for name in strategies.TABLE if is_strategy(name)]
TRANSFORMS = [name for name in strategies.TABLE if not is_strategy(name)]

GENTLE = {"lr": 3e-3, "head_lr": 1e-2, "probe_lr": 1e-2, "policy_lr": 1e-2, "teacher_lr": 3e-3}
"""Learning rates at which the tiny networks learn in twelve steps, for hyperparameters of these names."""


def gentle(expression: str) -> compose.Composed:
    """The expression at its defaults but for the rates: those are meant for real networks and SGD."""
    names = expression.split(" + ")
    hyperparameters = {
        name: {k.name: GENTLE[k.name] for k in strategies.get(name).hyperparameters() if k.name in GENTLE}
        for name in names
    }
    return composed(expression, **{name: values for name, values in hyperparameters.items() if values})

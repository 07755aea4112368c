"""Backbones that the harness pretrains itself on a source dataset: once, kept by content."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from bench.core.errors import Diverged, UserError
from bench.core.seeds import derive
from bench.core.spec import BackboneSpec, TrainSpec, content_hash
from bench.data.images import ImageSet
from bench.data.prepare import Prepared, Resolution, load, load_test, prepare
from bench.data.task import Task
from bench.models.build import build, resolution
from bench.models.checkpoints import record
from bench.planning.source_recipe import recipe_of, settings
from bench.storage import weights as kept
from bench.storage.files import room_for
from bench.storage.places import used
from bench.training.cost import Clock
from bench.training.device import choose, placed
from bench.training.evaluate import predict, score
from bench.training.loop import Trainer

VERSION = 2

CROP_PCT = 1.0
"""Sources are seen whole, so what is fine-tuned from them is."""


@dataclass(frozen=True)
class Pretrained:
    """Where the weights are, and how good they are on their own source."""

    path: Path
    accuracy: float
    seconds: float
    classes: int

    def note(self, spec: BackboneSpec) -> str:
        assert spec.source
        return (
            f"{spec.label} was pretrained here on {spec.source.name} ({self.classes} classes): "
            f"source test accuracy {self.accuracy:.3f}, {self.seconds:.0f} s"
        )


def pretrain(spec: BackboneSpec, image_size: int | None, base: Path, cache: Path) -> Pretrained:
    """The pretrained weights of `spec.source`, trained now if no earlier study has.

    Raises `UserError` for an unknown setting in `source_train`.
    """
    assert spec.source
    recipe = recipe_of(spec)
    size, _, _ = resolution(spec, image_size)
    content = [
        VERSION,
        spec.name,
        spec.kwargs,
        spec.data_config,
        dataclasses.asdict(spec.source),
        recipe,
        size,
    ]
    path = cache / "source" / f"{spec.name}-{content_hash(content)}.safetensors"
    if not kept.intact(path):
        _train(spec, recipe, size, base, cache, path)
    with safe_open(used(path), framework="pt") as file:
        facts = json.loads(file.metadata()["source"])
    return Pretrained(path, facts["accuracy"], facts["seconds"], facts["classes"])


def as_published(spec: BackboneSpec, image_size: int | None) -> BackboneSpec:
    """The backbone as images are decoded for it, told before its weights are made."""
    if not spec.source:
        return spec
    size, _, _ = resolution(spec, image_size)
    config = {"crop_pct": CROP_PCT, "image_size": size, **spec.data_config}
    return dataclasses.replace(spec, weights="random", source=None, source_train={}, data_config=config)


def prepare_source(spec: BackboneSpec, image_size: int | None, base: Path, cache: Path) -> Prepared:
    """The decoded images that `pretrain` needs. Raises `UserError` as it does before it trains."""
    _, train = settings(spec, recipe_of(spec))
    size, _, _ = resolution(spec, image_size)
    return _images(spec, size, train, base, cache)


def _images(spec: BackboneSpec, size: int, train: TrainSpec, base: Path, cache: Path) -> Prepared:
    assert spec.source
    return load(prepare(spec.source, Resolution(size, size, crops=train.augment == "crop"), base, cache))


def _data_config(images: ImageSet) -> dict[str, Any]:
    """Mean and spread of the source's pixels: what is published with any weights."""
    pixels = images.at(slice(2000)).float().div(255)
    return {
        "mean": pixels.mean((0, 2, 3)).tolist(),
        "std": pixels.std((0, 2, 3)).tolist(),
        "crop_pct": CROP_PCT,
    }


def _train(
    spec: BackboneSpec, recipe: dict[str, Any], size: int, base: Path, cache: Path, path: Path
) -> None:
    assert spec.source
    strategy, train = settings(spec, recipe)
    data = _images(spec, size, train, base, cache)
    test = load_test(data.path)
    config = _data_config(data.pool)
    random = dataclasses.replace(spec, weights="random", data_config={**config, **spec.data_config})
    precision = choose(train)
    torch.manual_seed(derive(0, "source"))
    model = build(random, len(data.classes), size, base)
    model = placed(model, precision.device)
    few = test.subset(torch.arange(min(200, len(test))))  # watched only: nothing is selected on it
    task = Task(data.pool, few, len(data.classes), train.epochs)
    clock, order = Clock(precision), derive(0, "source-order")
    start = time.perf_counter()
    trainer = Trainer(model, task, train, precision, clock, order, lambda epoch, epochs, metrics: None)
    try:
        trainer.run(strategy)
    except Diverged as error:
        raise UserError(
            f"source_train of {spec.label}: {error}; try a smaller lr than {recipe['lr']}"
        ) from None
    seconds = time.perf_counter() - start
    accuracy = score(predict(model, test, precision), test.y).accuracy
    facts = {"accuracy": accuracy, "seconds": seconds, "classes": len(data.classes)}
    used_config = {**random.data_config, "image_size": size}
    metadata = record.metadata(spec, used_config, len(data.classes), data.classes, source=facts)
    with room_for(f"the weights of {spec.label}", path.parent):
        kept.save(model.net.state_dict(), path, metadata)

"""What a run is made of: images, network, task and teacher, from its spec. No test image is among them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from bench.core.seeds import derive
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec
from bench.data.prepare import Prepared, Resolution, load, prepare
from bench.data.splits import k_shot
from bench.data.task import Task
from bench.models.build import build, resolution
from bench.models.model import Model
from bench.storage.places import Places
from bench.training.device import Precision
from bench.training.epochs import epoch_budget
from bench.training.run.pretrain import pretrain
from bench.training.run.teacher import Teacher


def prepare_dataset(
    dataset: DatasetSpec,
    backbone: BackboneSpec,
    image_size: int | None,
    places: Places,
    crops: bool = False,
) -> Prepared:
    """The decoded images at the backbone's resolution; decoded on the first call, memory-mapped afterwards.

    crops: whether random crops will be drawn from them.
    """
    size, crop_pct, interpolation = resolution(
        backbone, image_size, places.base, ensure_source_weights(backbone, image_size, places)
    )
    stored = Resolution(size, max(size, round(size / crop_pct)), interpolation, crops)
    return load(prepare(dataset, stored, places.base, places.cache))


def make_model(backbone: BackboneSpec, num_classes: int, image_size: int | None, places: Places) -> Model:
    """The backbone with its weights and a fresh head. The caller seeds torch."""
    return build(
        backbone, num_classes, image_size, places.base, ensure_source_weights(backbone, image_size, places)
    )


def ensure_source_weights(backbone: BackboneSpec, image_size: int | None, places: Places) -> Path | None:
    """Pretrains the backbone on its source dataset, which may take minutes, unless an earlier study has.

    Returns:
        The file of its weights; None for a backbone that is not pretrained here.
    """
    return pretrain(backbone, image_size, places.base, places.cache).path if backbone.source else None


def make_task(prepared: Prepared, spec: RunSpec) -> Task:
    """The k-shot subset of a run's seed, split into train and val; the rest of the pool without its labels.

    The test images are not part of it.
    """
    split = k_shot(
        prepared.pool.y, spec.n_per_class, spec.train.val_share, spec.seed, prepared.classes, spec.split
    )
    train, val = (prepared.pool.subset(index) for index in (split.train, split.val))
    apart = train
    if spec.train.fit == "train+val":
        train = train.with_more(val)
    wanted = any(part.hyperparameters.get("unlabeled") for part in spec.strategy.parts)
    return Task(
        train,
        val,
        len(prepared.classes),
        epoch_budget(len(train), spec.train),
        spec.train.batch_size,
        prepared.pool.x[split.rest(len(prepared.pool))] if wanted else None,
        apart=None if train is apart else apart,
    )


def prepare_for(spec: RunSpec, places: Places) -> Prepared:
    """The images that a run is trained on, and its test images."""
    crops = spec.train.augment == "crop"
    return prepare_dataset(spec.dataset, spec.backbone, spec.train.image_size, places, crops)


def train_teacher(spec: RunSpec, precision: Precision, places: Places) -> None:
    """Train the teacher of a run that has one, unless an earlier run did."""
    prepared = prepare_for(spec, places)
    make_teacher(spec, make_task(prepared, spec), precision, places).ensure_trained()


def make_teacher(spec: RunSpec, task: Task, precision: Precision, places: Places) -> Teacher:
    """The teacher of a run that has one: its network, to be trained when first asked for."""
    assert spec.teacher
    size, crop_pct, interpolation = resolution(
        spec.backbone,
        spec.train.image_size,
        places.base,
        ensure_source_weights(spec.backbone, spec.train.image_size, places),
    )
    torch.manual_seed(derive(spec.seed, "teacher"))
    model = make_model(spec.teacher.backbone, task.num_classes, size, places)
    # it is trained on the student's images, so how they were decoded is part of what it is
    own = spec.teaching()
    config = {**own.backbone.data_config, "crop_pct": crop_pct, "interpolation": interpolation}
    own = dataclasses.replace(
        own,
        backbone=dataclasses.replace(own.backbone, data_config=config),
        train=dataclasses.replace(own.train, image_size=size),
    )
    return Teacher(own, model, task, precision, places.cache)

"""Refuses, before anything is trained, what could never train."""

from __future__ import annotations

import copy

import torch

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, RunSpec
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.methods import freeze
from bench.methods.api import Phase
from bench.models import usable
from bench.models.model import Model
from bench.planning import compose
from bench.storage.places import Places
from bench.training.epochs import epoch_budget
from bench.training.optimizers import make_optimizer
from bench.training.run.ingredients import make_model

FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
)
"""What networks fail with that a strategy is not made for."""


def usable_model(backbone: BackboneSpec, num_classes: int, image_size: int | None, places: Places) -> Model:
    """The network of a backbone. Raises `UserError` where it is no classifier of images."""
    model = make_model(backbone, num_classes, image_size, places)
    usable.check(model, backbone.label)
    return model


def preflight(spec: RunSpec, num_classes: int, places: Places, model: Model | None = None) -> Model:
    """Draws the first phase of the strategy on a few random images; raises `UserError` for what could never train.

    Found here: networks that are no classifiers, nothing trainable, overlapping groups, hyperparameters that do not fit the
    backbone, unknown optimisers, no unlabelled images, a teacher that cannot be built. Returns the untouched model, so that
    the next strategy of the same backbone need not load it again.
    """
    model = model or usable_model(spec.backbone, num_classes, spec.train.image_size, places)
    if spec.teacher:
        teacher = usable_model(spec.teacher.backbone, num_classes, model.image_size, places)
        _note(model, teacher, spec)
    trial = copy.deepcopy(model)
    try:
        strategy = compose.build(spec.strategy)
        task = _rehearsal(spec, trial)
        phase = next(strategy.phases(trial, task))
        freeze.check(trial, phase)
        make_optimizer(phase, spec.train)
        if phase.unlabeled and spec.n_per_class == "all":
            raise UserError('it learns from unlabelled images, and n_per_class "all" leaves none')
        if spec.train.batch_size == 1:
            _check_single(trial, phase)
    except UserError as error:
        raise type(error)(f"strategy {spec.strategy.label!r} on {spec.backbone.label}: {error}") from None
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"strategy {spec.strategy.label!r} fails on {spec.backbone.label}: {what}") from error
    return model


def _note(model: Model, teacher: Model, spec: RunSpec) -> None:
    """What became of the weights of a teacher stands with those of its student."""
    assert spec.teacher
    if (label := spec.teacher.backbone.label) != spec.backbone.label:
        notes = [f"teacher {label}: {note}" for note in teacher.load_report.notes()]
        model.load_report.remarks.extend(note for note in notes if note not in model.load_report.remarks)


def _check_single(model: Model, phase: Phase) -> None:
    """Raises `UserError` where the network, frozen as in this phase, cannot be trained on one image at a time."""
    freeze.apply(model, phase)
    try:
        model(torch.zeros(1, 3, model.image_size, model.image_size))
    except ValueError as error:  # BatchNorm's
        raise UserError(
            f"train.batch_size is 1, which this network cannot be trained with: {error}"
        ) from error


def _rehearsal(spec: RunSpec, model: Model) -> Task:
    """Two random images of each class, under the epoch budget of the real task."""
    y = torch.arange(model.num_classes).repeat(2)
    images = ImageSet(
        torch.randint(256, (len(y), 3, model.image_size, model.image_size), dtype=torch.uint8), y
    )
    labelled = spec.n_per_class if isinstance(spec.n_per_class, int) else spec.train.batch_size
    epochs = epoch_budget(round(labelled * (1 - spec.train.val_share)) * model.num_classes, spec.train)
    return Task(
        images,
        images,
        model.num_classes,
        epochs,
        spec.train.batch_size,
        images.x,
        lambda: copy.deepcopy(model),
    )

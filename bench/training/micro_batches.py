"""A training step that the device's memory does not hold is done again, its batch going through the network in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor

from bench.core.errors import UserError
from bench.core.spec import TrainSpec
from bench.methods.api import Batch, Phase
from bench.models.model import Model
from bench.models.passes import PassLimit, free, least
from bench.training.device import Precision
from bench.training.profile_marks import Parts


def backpropagate(
    model: Model, phase: Phase, batch: Batch, precision: Precision, limit: PassLimit, part: Parts
) -> dict[str, Tensor]:
    """The terms of the loss, their gradients now in the parameters, which had none before.

    Where memory runs out, the same step is begun again, on the same images and random numbers, with half as many images
    at once; so are all steps after it (`bench.models.passes` says what of the result changes by that). BatchNorm's
    running statistics keep what the attempt has put in: a copy of them before every step would cost all runs.
    Raises `torch.OutOfMemoryError` where the fewest images are too many.
    """
    random = _random_states(precision.device)
    while True:
        limit.largest = 0
        try:
            return _attempt(model, phase, batch, precision, limit, part)
        except torch.OutOfMemoryError:
            if not limit.halve(least(model)):
                raise
        # after the clause, which holds the frames of the attempt, and these its tensors
        batch.forget()
        for parameter in phase.params:
            parameter.grad = None
        for generator, state in random:
            generator.set_state(state)
        free(precision.device)


def _attempt(
    model: Model, phase: Phase, batch: Batch, precision: Precision, limit: PassLimit, part: Parts
) -> dict[str, Tensor]:
    limit.in_step = True
    try:
        with part("forward"), precision.autocast():
            losses = phase.loss(model, batch)
        with part("backward"):
            sum(losses.values()).backward()  # type: ignore[union-attr]
        return losses
    finally:
        limit.in_step = False


def _random_states(device: torch.device) -> list[tuple[Generator, Tensor]]:
    """Of all that a loss draws from; none on a CPU, whose memory never runs out in an error that could be caught."""
    if device.type != "cuda":
        return []
    generators = [torch.default_generator, torch.cuda.default_generators[device.index or 0]]
    return [(generator, generator.get_state()) for generator in generators]


@contextmanager
def fitted(limit: PassLimit, model: Model, train: TrainSpec, device: torch.device) -> Iterator[None]:
    """Passes within keep to the limit. Raises `UserError` where the device's memory is too small for any."""
    with limit.entered():
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise UserError(_too_little(limit, model, train, device, error)) from error


def _too_little(
    limit: PassLimit, model: Model, train: TrainSpec, device: torch.device, error: torch.OutOfMemoryError
) -> str:
    where, space = str(device), ""
    if device.type == "cuda":
        left, total = (b / 2**30 for b in torch.cuda.mem_get_info(device))
        where = torch.cuda.get_device_name(device)
        space = f" ({left:.1f} of {total:.1f} GiB are free now)"
    tried = f"{limit.at_once} at once" if limit.at_once else "in whole batches"
    reason = str(error).strip().splitlines()[:1]
    return (
        f"out of memory on {where}{space} at batch_size {train.batch_size} on images of {model.image_size} px, passed "
        f"through the network {tried}: use fewer workers on the device (--workers), a smaller train.image_size or "
        f"backbone, or train.precision=bf16. {''.join(reason)}"
    )

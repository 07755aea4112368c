"""Which runs can be trained as one, asked of what their strategies yield, not of what they are called.

They can where each has one phase that trains the linear classifier alone, by gradient steps on the cross-entropy, above a
backbone whose outputs are cached. Whatever else a strategy does, it is trained alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import timm.layers
from torch import nn

from bench.core.compat.torch import tensor_version
from bench.core.errors import UserError
from bench.core.spec import TrainSpec
from bench.data.task import Task
from bench.methods import freeze
from bench.methods.api import Phase
from bench.models.model import Model
from bench.planning.compose import Composed
from bench.training.optimizers import make_schedule

LINEAR = (nn.Linear, timm.layers.Linear)
"""Classes, not what derives from them. timm's own, in EfficientNets and MobileNets, differs under torch.jit only."""


class NotVectorizable(Exception):
    """These runs cannot be trained as one, for the reason in the message. Each is trained by itself, which is no error."""


def phases_of(model: Model, task: Task, strategies: Sequence[Composed]) -> list[Phase]:
    """The phase of each strategy, which trains the linear classifier of `model` and does nothing else.

    Raises:
        NotVectorizable: One of them does more or something else, or cannot be used. `model` is as the strategies have left
            it, and cannot be used any more.
    """
    head, before = model.classifier, _content(model)
    if not isinstance(head, nn.Linear) or type(head) not in LINEAR or head.bias is None:
        raise NotVectorizable("the classifier is not one linear layer with a bias")
    found: list[Phase] = []
    for strategy in strategies:
        phases = _first_phases(model, task, strategy)
        if len(phases) != 1 or not _trains_only(phases[0], head, task) or _content(model) != before:
            raise NotVectorizable("a strategy does more than to train the classifier by gradient steps")
        found += phases
    return found


def _first_phases(model: Model, task: Task, strategy: Composed) -> list[Phase]:
    """Two at most. Only strategies run in here, so that whatever is raised is theirs: the run of its own will tell."""
    try:
        phases = list(islice(strategy.phases(model, task), 2))
        strategy.finish(model)
    except Exception as error:
        raise NotVectorizable(f"a strategy raises {type(error).__name__}: {error}") from error
    try:
        for phase in phases:
            freeze.check(model, phase)
    except UserError as error:
        raise NotVectorizable(str(error)) from error
    return phases


def _trains_only(phase: Phase, head: nn.Linear, task: Task) -> bool:
    plain = replace(phase, name="", train=(), schedule=None) == Phase("", task.epochs, ())
    if not plain or len(phase.train) != 1:
        return False
    params = [id(p) for p in phase.params]
    return sorted(params) == sorted([id(head.weight), id(head.bias)]) and phase.train[0].lr > 0


def _content(model: Model) -> list[Any]:
    """What changes when a module is put in or taken out, or a tensor is written to."""
    tensors = [*model.parameters(), *model.buffers()]
    return [*map(id, model.modules()), *((id(tensor), tensor_version(tensor)) for tensor in tensors)]


def factors_of(phases: Sequence[Phase], train: TrainSpec, steps: int) -> list[float]:
    """What the learning rates are multiplied by at each step, as in the loop.

    Raises:
        NotVectorizable: The schedules of the phases differ.
    """
    own = make_schedule(train, steps)
    schedules = {phase.schedule or own for phase in phases}
    first, *others = [[schedule(i / steps) for i in range(steps)] for schedule in schedules]
    if any(factors != first for factors in others):
        raise NotVectorizable("their learning-rate schedules differ")
    return first

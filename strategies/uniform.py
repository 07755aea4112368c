"""Uniform learning rate: every trained group at the strategy's own rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Phase, Transform

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class Uniform(Transform):
    """One learning rate for all trained layers."""

    family = "lr"

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return phase

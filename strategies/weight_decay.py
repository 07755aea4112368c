"""Weight decay: pulls the weights towards zero, biases and normalisation parameters excepted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.api import Phase, Transform, knob

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class WeightDecay(Transform):
    """The optimiser's weight decay on every trained weight (decoupled in AdamW, an L2 gradient in SGD)."""

    family = "regularize"
    source = "document 003"

    decay: float = knob(1e-3, 1e-6, 1e-1, log=True)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return phase.map_groups(lambda g: replace(g, weight_decay=self.decay))

"""Head multiplier: the new output layer learns ten times faster than the pretrained body (d2l's hot-dog recipe)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, Transform, knob

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class HeadX10(Transform):
    """lr of the head = multiplier * lr of the body; phases that train the head alone are left as they are."""

    family = "lr"
    source = "document 003; Zhang et al., Dive into Deep Learning, 14.2"

    multiplier: float = knob(10.0, 1.0, 100.0, log=True)

    def refuses(self, strategy: type[Strategy], others: Sequence[type[Transform]]) -> str | None:
        if not strategy.trains_body:
            return "only the head trains, so its learning rate has no body to be ten times"
        if not strategy.keeps_pretrained:
            return "body and head both start from random weights, so neither is the new part"
        return None

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        if all(group.is_head for group in phase.train):
            return phase
        return phase.map_groups(lambda g: replace(g, lr=g.lr * self.multiplier) if g.is_head else g)

"""Staged training: freeze the old and train the new, then unfreeze and train jointly at a smaller rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, knob
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class Staged(Strategy):
    """First the head on frozen features, then the last `unfreeze` stages (0: all) jointly; epochs are shared."""

    source = "document 004, recipe one"

    lr: float = knob(5e-3, 1e-4, 1e-1, log=True)
    probe_lr: float = knob(1e-1, 1e-3, 1.0, log=True)
    probe_share: float = knob(0.3, 0.1, 0.7)
    unfreeze: int = knob(0)

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        depth = len(model.stages)
        if not 0 <= self.unfreeze <= depth:
            raise UserError(
                f"staged: unfreeze is {self.unfreeze}, but the backbone has {depth} stages (0: all)"
            )
        probe = max(1, round(self.probe_share * task.epochs))
        if probe >= task.epochs:
            raise UserError(f"staged: {task.epochs} epochs do not leave one for each of the two phases")
        yield Phase("probe", probe, model.groups(self.probe_lr, first=depth))
        first = depth - self.unfreeze if self.unfreeze else 0
        yield Phase("joint", task.epochs - probe, model.groups(self.lr, first=first))

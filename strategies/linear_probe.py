"""Linear probe: only the new output layer trains, on features of the frozen pretrained network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, knob

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class LinearProbe(Strategy):
    """Freeze the backbone, train the head only; the textbook's advice for small, similar data."""

    source = "documents 000, 001, 004"
    trains_body = False

    lr: float = knob(1e-1, 1e-3, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        yield Phase("probe", task.epochs, model.groups(self.lr, first=len(model.stages)))

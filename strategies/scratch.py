"""Training from scratch: the same network with every weight re-initialised, the baseline of all transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, knob

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class Scratch(Strategy):
    """Re-initialise every weight and train all of them; the textbook's advice for large, dissimilar data."""

    source = "documents 001, 003"
    keeps_pretrained = False

    lr: float = knob(1e-1, 1e-3, 1.0, log=True)

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        model.reinitialise()
        yield Phase("scratch", task.epochs, model.groups(self.lr))

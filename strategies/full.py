"""Full fine-tuning: every weight trains on from its pretrained value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, knob

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class Full(Strategy):
    """Fine-tune every weight at about a tenth of the from-scratch rate; the textbook's advice for large, similar data."""

    source = "documents 000, 001, 003, 004"

    lr: float = knob(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        yield Phase("full", task.epochs, model.groups(self.lr))

"""Last-k stages: train the head and the top of the backbone, keep everything below frozen."""

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
class LastStages(Strategy):
    """Train the last k stages and the head, freeze the rest; the textbook's advice for small, dissimilar data."""

    source = "documents 001, 004"

    k: int = knob(1, 1, 3)
    lr: float = knob(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        if not 1 <= self.k <= len(model.stages):
            raise UserError(
                f"last_stages: k is {self.k}, but the backbone has stages 1..{len(model.stages)} to train"
                " (k = 0 would be linear_probe)"
            )
        yield Phase("last", task.epochs, model.groups(self.lr, first=len(model.stages) - self.k))

"""Freeze the first k stages, counted from the stem, and train the rest with the head."""

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
class FreezeFirst(Strategy):
    """Freeze the first k stages (the general, low-level features), train the rest and the head."""

    source = "document 004"

    k: int = knob(2, 1, 4)
    lr: float = knob(1e-2, 1e-4, 1e-1, log=True)

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        if not 1 <= self.k <= len(model.stages):
            raise UserError(
                f"freeze_first: k is {self.k}, but the backbone has stages 1..{len(model.stages)} to freeze"
                " (k = 0 would be full)"
            )
        yield Phase("rest", task.epochs, model.groups(self.lr, first=self.k))

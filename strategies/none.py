"""No regulariser: cross-entropy alone, weight decay off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, Transform

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class NoRegulariser(Transform):
    """Plain cross-entropy without weight decay."""

    family = "regularize"

    def refuses(self, strategy: type[Strategy], others: Sequence[type[Transform]]) -> str | None:
        return "none excludes other regularisers" if any(o.family == "regularize" for o in others) else None

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return phase

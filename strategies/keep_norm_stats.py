"""Keep normalisation statistics: trained BatchNorm layers run on their pretrained mean and variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.api import Phase, Strategy, Transform

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class KeepNormStats(Transform):
    """BatchNorm in eval mode while its affine parameters train: small batches cannot spoil the statistics."""

    family = "regularize"
    source = "common practice in detection and few-shot fine-tuning"

    def refuses(self, strategy: type[Strategy], others: Sequence[type[Transform]]) -> str | None:
        if not strategy.keeps_pretrained:
            return "random weights come with no statistics worth keeping"
        if not strategy.trains_body:
            return "a frozen body keeps its statistics anyway"
        return None

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return replace(phase, norm_stats="keep")

"""L2-SP (Li, Grandvalet, Davoine, 2018): weight decay towards the pretrained weights instead of zero.

    loss = CE + alpha/2 ||w - w0||^2  (body)  + beta/2 ||w_head||^2

on weight tensors only (no biases, no normalisation parameters), the optimiser's own weight decay off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Batch, Phase, Strategy, Transform, knob

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbones.model import Model
    from bench.data.task import Task


@dataclass(frozen=True)
class L2SP(Transform):
    """Penalise the distance from the pretrained weights (document 001: "works best")."""

    family = "regularize"
    source = "Li et al. 2018, arXiv:1802.01483; document 001"

    alpha: float = knob(0.1, 1e-4, 1.0, log=True)
    beta: float = knob(0.01, 1e-4, 1.0, log=True)

    def refuses(self, strategy: type[Strategy], others: Sequence[type[Transform]]) -> str | None:
        if not strategy.keeps_pretrained:
            return "there are no pretrained weights to stay near"
        if not strategy.trains_body:
            return "the body is frozen, so it cannot leave its pretrained weights"
        if any(other.__name__ == "WeightDecay" for other in others):
            return "L2-SP replaces weight decay; both would penalise the same weights twice"
        return None

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        trained = {id(p) for group in phase.train for p in group.params}
        weights = [(n, p) for n, p in model.named_parameters() if id(p) in trained and p.ndim > 1]
        start = model.pretrained
        body = [(p, start[n]) for n, p in weights if n in start]
        head = [p for n, p in weights if n not in start]

        def l2_sp(model: Model, batch: Batch) -> Tensor:
            distance = sum((w - w0).square().sum() for w, w0 in body)
            return 0.5 * (self.alpha * distance + self.beta * sum(w.square().sum() for w in head))

        return phase.add_term("l2_sp", l2_sp)

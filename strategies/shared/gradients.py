"""Gradients measured apart from training: nothing of the model changes, not even BatchNorm's statistics."""

from collections.abc import Iterable
from typing import cast

from bench.methods.api import Batch, Model, Phase, Tensor, nn, torch


def relative_gradient_norms(model: Model, phase: Phase, batches: Iterable[Batch]) -> dict[str, float]:
    """||sum of gradients|| / ||weights|| of each group of `phase`, normalisation parameters and biases left out.

    In eval mode, on the phase's loss. A group of such parameters alone has the ratio 0.
    """
    groups = {g.name: [p for p in g.params if p.ndim > 1] for g in phase.train}
    params = [p for members in groups.values() for p in members]
    flags = [p.requires_grad for p in params]
    training = [m for m in model.modules() if m.training]
    model.eval()
    total = [torch.zeros_like(p) for p in params]
    for p in params:
        p.requires_grad_(True)
    for batch in batches:
        loss = cast(Tensor, sum(phase.loss(model, batch).values()))
        for sum_, g in zip(total, torch.autograd.grad(loss, params, allow_unused=True), strict=True):
            if g is not None:
                sum_ += g
    for p, flag in zip(params, flags, strict=True):
        p.requires_grad_(flag)
    for m in training:
        m.training = True
    by_id = dict(zip(map(id, params), total, strict=True))
    return {name: _ratio([by_id[id(p)] for p in members], members) for name, members in groups.items()}


def _ratio(gradients: list[Tensor], weights: list[nn.Parameter]) -> float:
    """Over the concatenation of the tensors."""
    norm = sum(w.detach().square().sum() for w in weights) ** 0.5 if weights else 0.0
    return float(sum(g.square().sum() for g in gradients) ** 0.5 / norm) if norm else 0.0

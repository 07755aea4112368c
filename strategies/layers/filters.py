"""The filters of a network, a scale for each, and how much the target loss cares for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from bench.methods.api import Batch, Model, cross_entropy

Scores = dict[str, list[float]]
"""Layer -> a score for each of its filters."""


Layer = nn.Conv2d | nn.Linear


def filter_layers(model: Model) -> dict[str, Layer]:
    """The backbone's convolutions and linear layers by their names in `model.net`."""
    head = {m for top in (*model.classifiers, *model.auxiliary) for m in top.modules()}
    return {n: m for n, m in model.net.named_modules() if isinstance(m, Layer) and m not in head}


@contextmanager
def hooked(model: Model, hook: Callable[[str, Layer, Tensor], Tensor | None]) -> Iterator[None]:
    """While it lasts, the output of each of those layers is what `hook` returns, unless that is None."""
    handles = [
        layer.register_forward_hook(lambda layer, args, out, name=name: hook(name, layer, out))
        for name, layer in filter_layers(model).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def along(scale: Tensor, layer: nn.Module) -> Tensor:
    """[filters] shaped so that it multiplies the layer's output."""
    return scale[:, None, None] if isinstance(layer, nn.Conv2d) else scale


def scaled(model: Model, scales: dict[str, Tensor]) -> AbstractContextManager[None]:
    """While it lasts, each filter's output is multiplied by its scale."""
    return hooked(model, lambda name, layer, out: out * along(scales[name].to(out.dtype), layer))


def absorb(model: Model, scales: dict[str, Tensor]) -> None:
    """Multiplies the scales into weights and biases: the network without them is what it was with them."""
    with torch.no_grad():
        for name, layer in filter_layers(model).items():
            layer.weight.mul_(scales[name].reshape(-1, *[1] * (layer.weight.ndim - 1)))
            if layer.bias is not None:
                layer.bias.mul_(scales[name])


def importance(model: Model, scales: dict[str, Tensor], batches: Iterable[Batch]) -> Scores:
    """|scale * d loss / d scale| over all batches, relative to the mean of the layer. The scales must be in use."""
    total = {name: torch.zeros_like(scale) for name, scale in scales.items()}
    for batch in batches:
        loss = sum(cross_entropy(model, batch).values())
        gradients = torch.autograd.grad(loss, list(scales.values()), allow_unused=True)  # type: ignore[arg-type]
        for name, gradient in zip(scales, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient
    scores = {name: (scale.detach() * total[name]).abs() for name, scale in scales.items()}
    return {name: (s / s.mean().clamp(min=1e-30)).tolist() for name, s in scores.items()}

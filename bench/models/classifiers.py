"""The classifiers of a network, seen as one that takes features [B, D] and gives logits [B, K].

Most networks have one linear layer. Distilled ones (DeiT, PiT, EfficientFormer, SwiftFormer) and those of two branches
(CrossViT) have several and predict the mean of their logits; BiT, DLA and DPN have a 1x1 convolution on pooled maps. With
x_i what classifier i takes, n classifiers are one linear map of the features [x_1; ...; x_n], which are just x where all
take the same:

    logits = 1/n sum_i (W_i x_i + b_i) = 1/n [W_1 ... W_n] [x_1; ...; x_n] + 1/n sum_i b_i

That a network's logits are this is not taken for granted: `bench.models.usable` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d


class Joint(nn.Module):
    """The mean of several classifiers, or one that works on maps. It holds the network's own modules, not copies."""

    def __init__(self, heads: Sequence[nn.Module], shared: bool) -> None:
        """shared: all take the same features."""
        super().__init__()
        self.heads, self.shared = nn.ModuleList(heads), shared

    @property
    def in_features(self) -> int:
        """D."""
        widths = [width(head) for head in self.heads]
        return widths[0] if self.shared else sum(widths)

    def forward(self, features: Tensor) -> Tensor:
        """[B, D] (or [B, D, 1, 1]) -> [B, K]."""
        z = features.flatten(1)
        parts = [z] * len(self.heads) if self.shared else z.split([width(head) for head in self.heads], dim=1)
        logits = [_on_rows(head, part) for head, part in zip(self.heads, parts, strict=True)]
        return logits[0] if len(logits) == 1 else torch.stack(logits).mean(0)


def _on_rows(head: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = head(x[:, :, None, None] if isinstance(_layers(head)[0], nn.Conv2d) else x)
    return logits.flatten(1)


def _layers(head: nn.Module) -> list[Layer]:
    return [layer for layer in head.modules() if isinstance(layer, Layer)]


def width(head: nn.Module) -> int:
    """How many features a classifier takes."""
    if isinstance(head, Joint):
        return head.in_features
    return int(_layers(head)[0].weight.shape[1])


def as_one(heads: Sequence[nn.Module], shared: bool) -> nn.Module:
    """[B, D] -> [B, K]: the classifier itself where there is one that takes rows, else a `Joint`."""
    on_maps = any(isinstance(m, nn.Conv2d | nn.Unflatten) for head in heads for m in head.modules())
    return Joint(heads, shared) if len(heads) > 1 or on_maps else heads[0]


@dataclass(frozen=True)
class LinearMap:
    """Linear classifiers as one matrix: logits = W z + b."""

    layers: tuple[Layer, ...]
    shared: bool

    @classmethod
    def of(cls, heads: Sequence[nn.Module], shared: bool) -> LinearMap | None:
        """None where one of them is more than a linear layer with a bias."""
        layers = [head for head in heads if isinstance(head, Layer) and head.bias is not None]
        pointwise = all(layer.weight[0, 0].numel() == 1 for layer in layers)
        return cls(tuple(layers), shared) if pointwise and len(layers) == len(heads) else None

    @property
    def weight(self) -> Tensor:
        """W [K, D]."""
        parts = [layer.weight.flatten(1) for layer in self.layers]
        if len(parts) == 1:
            return parts[0]
        return torch.stack(parts).mean(0) if self.shared else torch.cat(parts, dim=1) / len(parts)

    @property
    def bias(self) -> Tensor:
        """b [K]."""
        biases = [layer.bias for layer in self.layers if layer.bias is not None]
        return biases[0] if len(biases) == 1 else torch.stack(biases).mean(0)

    @torch.no_grad()
    def write(self, weight: Tensor, bias: Tensor) -> None:
        """Makes the classifiers be W [K, D] and b [K] together."""
        n = len(self.layers)
        widths = [layer.weight.shape[1] for layer in self.layers]
        parts = [weight] * n if self.shared else [n * part for part in weight.split(widths, dim=1)]
        for layer, part in zip(self.layers, parts, strict=True):
            layer.weight.copy_(part.reshape(layer.weight.shape))
            if layer.bias is not None:
                layer.bias.copy_(bias)


@contextmanager
def met(heads: Sequence[nn.Module], shared: bool, then: Callable[[Tensor], None]) -> Iterator[None]:
    """While it lasts, `then` gets the features of each forward pass, as soon as the last classifier has its own.

    They come as the network gives them where there is one classifier, say [B, D, 1, 1]; else as [B, D].
    """
    found: dict[int, Tensor] = {}

    def meet(i: int, x: Tensor) -> None:
        found[i] = x
        if len(found) == len(heads):
            rows = [found[j] for j in range(len(heads))]
            found.clear()
            together = len(rows) == 1 or shared
            then(rows[0] if together else torch.cat([x.flatten(1) for x in rows], dim=1))

    handles = [_before(head, i, meet) for i, head in enumerate(heads)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(head: nn.Module, i: int, meet: Callable[[int, Tensor], None]) -> Any:
    return head.register_forward_pre_hook(lambda module, args: meet(i, args[0]))


@torch.no_grad()
def share_features(net: nn.Module, heads: Sequence[nn.Module], image_size: int) -> bool:
    """Whether all classifiers of `net` take the same features: found by a forward pass of a black image.

    False too where that pass fails.
    """
    if len(heads) == 1:
        return True
    taken: list[Tensor] = []
    handles = [_before(head, i, lambda i, x: taken.append(x)) for i, head in enumerate(heads)]
    like, modes = next(net.parameters()), [module for module in net.modules() if module.training]
    try:
        net.eval()(torch.zeros(1, 3, image_size, image_size, device=like.device, dtype=like.dtype))
    except Exception:  # whatever networks fail with; `usable` will say so
        return False
    finally:
        for handle in handles:
            handle.remove()
        for module in modes:
            module.training = True
    return all(x is taken[0] for x in taken)


def in_place_of(old: nn.Module, new: nn.Module) -> nn.Module:
    """`new` ([B, D] -> [B, K]) so that it takes and gives what `old` did."""
    if new is old or not isinstance(_layers(old)[0], nn.Conv2d):
        return new
    classes = _layers(new)[-1].weight.shape[0]
    return nn.Sequential(nn.Flatten(1), new, nn.Unflatten(1, (classes, 1, 1)))

"""Losses and right answers of many heads on the images of an epoch. Logits are [n, C, K]: images, classes, heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.training.epoch_order import EpochOrder


@dataclass(frozen=True)
class HeadScores:
    """Of each head, [K]. loss: mean over batches of sum(w ce) / sum(w). accuracy: over images, a share in [0, 1]."""

    loss: Tensor
    accuracy: Tensor


def cross_entropy(
    logits: Tensor, top: Tensor, top_p: Tensor, order: EpochOrder, smoothing: Tensor | None
) -> Tensor:
    """[n, K] losses. top: maxima over classes of the logits [n, K], top_p: of their softmax. smoothing: [K] of labels.

    -log p_c = max logits - logits_c - log max p: unlike log p_c it is finite where p_c is too small for a float, and
    unlike a log-softmax it needs no third array of that size.
    """
    soft = order.target
    aimed = of_class(logits, order.y) if soft is None else (logits * soft[:, :, None]).sum(dim=1)
    if smoothing is not None:
        aimed = aimed + smoothing * (logits.mean(dim=1) - aimed)
    return top - aimed - top_p.log()


def shares(weight: Tensor | None, size: int) -> Tensor | None:
    """[n] w / sum(w) within each batch, torch's convention for weighted means; None for equal weights."""
    if weight is None:
        return None
    batches = weight.float().view(-1, size)
    return (batches / batches.sum(dim=1, keepdim=True)).flatten()


def of_class(values: Tensor, y: Tensor) -> Tensor:
    """values [n, C, K] -> [n, K], those of class y."""
    return values[torch.arange(len(y), device=y.device), y]


def highest(values: Tensor) -> Tensor:
    """[n, C, K] -> [n, K], the maxima over classes: by halves, on CPUs several times as fast as `amax`."""
    while (count := values.shape[1]) > 1:
        half = (count + 1) // 2
        values = torch.maximum(values[:, :half], values[:, count - half :])
    return values[:, 0]


def right(logits: Tensor, top: Tensor, y: Tensor) -> Tensor:
    """[n, K] bool: is the logit of the label `top`, the highest? In a tie with class 0, as of a head of zeros, class 0 wins.

    Not by argmax, which takes ten times as long over the middle of [n, C, K] as the maximum. NaN is never right.
    """
    return (of_class(logits, y) == top) & ((logits[:, 0] < top) | (y == 0)[:, None])

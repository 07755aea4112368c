"""Which images an epoch goes through."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EpochOrder:
    """An epoch's images in the order in which they are seen, n of them in whole batches.

    rows: [n] int64, where in the features each image is (of several views, the one seen now). y: [n] int64 labels.
    target: [n, C] probabilities that are learned; None: one for the label. weight: [n] of the loss; None: all one.
    """

    rows: Tensor
    y: Tensor
    target: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, end: int) -> EpochOrder:
        target, weight = (None if v is None else v[start:end] for v in (self.target, self.weight))
        return EpochOrder(self.rows[start:end], self.y[start:end], target, weight)

"""Class-balanced subsets that are nested in n: what n = 10 trains on is within what n = 50 trains on.

Per class, the seed fixes one permutation; n images are its first n. Position i of it belongs to validation
where i * val_share passes a whole number, so the validation parts are nested too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError

_ROUNDING = 1e-9  # .29 * 100 must count as 29


@dataclass(frozen=True)
class Split:
    """Indices into the pool, int64 [n_train] and [n_val], class by class; disjoint."""

    train: Tensor
    val: Tensor

    def rest(self, size: int) -> Tensor:
        """[size - n_train - n_val] int64: the other images of a pool of `size`, in stored order."""
        free = torch.ones(size, dtype=torch.bool)
        free[self.train], free[self.val] = False, False
        return free.nonzero().flatten()


def k_shot(
    labels: Tensor,
    n_per_class: int | Literal["all"],
    val_share: float,
    seed: int,
    classes: Sequence[str] | None = None,
    split: int = 0,
) -> Split:
    """`n_per_class` images of every class of `labels` [N], of which `val_share` for validation.

    `split`: which division of these same images into training and validation. The first `1 / val_share` are the folds of
    a cross-validation, those beyond are drawn; only the first, 0, is nested in n.

    "all" takes every image, so classes may differ in size. `classes` names the classes in errors.
    Raises UserError if a class has fewer images, or if n or the share leave nothing to train on.
    """
    _check(n_per_class, val_share)
    names = classes if classes is not None else [str(k) for k in range(int(labels.max()) + 1)]
    train, val = [], []
    for k, name in enumerate(names):
        members = torch.nonzero(labels == k).flatten().numpy()
        chosen = members[permutation(len(members), seed, k)][: _wanted(n_per_class, len(members), name)]
        held_out = validation_positions(len(chosen), val_share)
        if (
            split + 1
        ) * val_share <= 1 + _ROUNDING:  # folds of a cross-validation: no image is held out twice
            held_out = np.roll(held_out, split)
        elif split:
            held_out = held_out[permutation(len(chosen), seed, k, split)]
        train.append(chosen[~held_out])
        val.append(chosen[held_out])
    return Split(torch.from_numpy(np.concatenate(train)), torch.from_numpy(np.concatenate(val)))


def permutation(n: int, *key: int) -> np.ndarray:
    """A permutation of range(n) fixed by the integers `key`.

    It sorts the generator's raw output: numpy guarantees that stream for ever, but not
    `Generator.permutation`.
    """
    return np.argsort(np.random.PCG64(np.random.SeedSequence(key)).random_raw(n), kind="stable")


def validation_positions(n: int, val_share: float) -> np.ndarray:
    """[n] bool: which positions of a class's permutation belong to validation, evenly spread."""
    steps = np.floor(np.arange(n + 1) * val_share + _ROUNDING)
    taken: np.ndarray = steps[1:] > steps[:-1]
    return taken


def _check(n_per_class: int | Literal["all"], val_share: float) -> None:
    if n_per_class != "all" and (not isinstance(n_per_class, int) or n_per_class < 1):
        raise UserError(f"n per class {n_per_class!r}: want a whole number from 1, or 'all'")
    if not 0 <= val_share < 1:
        raise UserError(f"val_share {val_share}: want a share from 0 to below 1")


def _wanted(n_per_class: int | Literal["all"], size: int, name: str) -> int:
    n = size if n_per_class == "all" else n_per_class
    if n > size or size == 0:
        raise UserError(f"n per class {n_per_class}: class {name!r} has only {size} images to train on")
    return n

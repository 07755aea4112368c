"""torch, imported at its first use: reading the hyperparameters of all strategies, and planning, must not wait for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Tensor", "nn", "torch"]

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:

    class _Torch:
        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("torch"), name)

    class _Names:
        """`nn.Module` and the like in annotations, which mean nothing at run time."""

        def __getattr__(self, name: str) -> Any:
            return Any

    torch, nn, Tensor = _Torch(), _Names(), Any

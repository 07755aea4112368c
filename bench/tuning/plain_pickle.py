"""The one pickle that is read: the state of a CMA-ES optimiser, which Optuna keeps in its storage. Data, never code."""

from __future__ import annotations

import io
import pickle
from typing import Any

ALLOWED = {
    ("cmaes._cma", "CMA"),
    ("cmaes._cmawm", "CMAwM"),
    ("cmaes._sepcma", "SepCMA"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}
"""All that such a pickle names: numbers, arrays, and the class that holds them."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"{module}.{name} is no part of an optimiser's state, and is not loaded"
            )
        return super().find_class(module, name)


def loads(data: bytes) -> Any:
    """The object. Raises `pickle.UnpicklingError` where the pickle names anything else; nothing of it has run then."""
    return _Plain(io.BytesIO(data)).load()

"""timm's own weights, seen before they are loaded, so that what of them fits is judged as for any checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from bench.core.compat.torch import IncompatibleKeys
from bench.models.checkpoints.keys import State


@contextmanager
def withheld() -> Iterator[dict[nn.Module, State]]:
    """Within, `load_state_dict` loads nothing; what it was given stands in the mapping, by network.

    timm offers no other way to its weights as it would load them: fetched, converted and resized for the network by a
    function that only the constructor knows.
    """
    seen: dict[nn.Module, State] = {}
    original = nn.Module.load_state_dict

    def keep(self: nn.Module, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> IncompatibleKeys:
        seen[self] = dict(state_dict)
        return IncompatibleKeys([], [])

    nn.Module.load_state_dict = keep  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]

"""What a network that never changes made of the training images, remembered from epoch to epoch of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil
import torch
from torch import Tensor

from bench.core.devices import cores

Compute = Callable[[Tensor], Mapping[str, Tensor]]
"""x [B, 3, H, W] -> named tensors [B, ...], each row of its own image alone, and always the same."""


class Memory:
    """Rows by the number of an image's view, of as many owners as fit."""

    def __init__(self, count: int, device: torch.device) -> None:
        """count: how many views there are."""
        self._count, self._device = count, device
        self._left = _budget(device)
        self._known: dict[int, _Rows | None] = {}
        self._owners: list[object] = []  # kept alive: their ids must stay theirs

    @torch.no_grad()
    def recall(
        self, owner: object, numbers: Tensor, pixels: Callable[[], Tensor], compute: Compute
    ) -> Mapping[str, Tensor]:
        """compute(pixels()), of which only the views that were not seen before are computed. numbers: [B]."""
        if id(owner) not in self._known:
            self._owners.append(owner)
            first = compute(pixels())
            self._known[id(owner)] = rows = self._allocate(first)
            if rows:
                rows.fill(numbers, first)
            return first
        rows = self._known[id(owner)]
        if rows is None:
            return compute(pixels())
        unknown = ~rows.known[numbers]
        if unknown.any():
            rows.fill(numbers[unknown], compute(pixels()[unknown.to(self._device)]))
        return rows.at(numbers)

    def _allocate(self, first: Mapping[str, Tensor]) -> _Rows | None:
        """None where it would not fit."""
        size = self._count * sum(t[0].numel() * t.element_size() for t in first.values())
        if size > self._left:
            return None
        self._left -= size
        return _Rows(self._count, first)


class _Rows:
    """Tensors [count, ...], channels last where they came so, and which of the rows are known."""

    def __init__(self, count: int, like: Mapping[str, Tensor]) -> None:
        self.known = torch.zeros(count, dtype=torch.bool)
        self._nhwc = {name for name, t in like.items() if _channels_last(t)}
        self._tensors = {
            name: t.new_empty((count, *self._packed(name, t).shape[1:])) for name, t in like.items()
        }

    def fill(self, numbers: Tensor, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self._tensors.items():
            tensor[numbers.to(tensor.device)] = self._packed(name, values[name])
        self.known[numbers] = True

    def at(self, numbers: Tensor) -> dict[str, Tensor]:
        found = {name: tensor[numbers.to(tensor.device)] for name, tensor in self._tensors.items()}
        return {name: t.permute(0, 3, 1, 2) if name in self._nhwc else t for name, t in found.items()}

    def _packed(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.permute(0, 2, 3, 1) if name in self._nhwc else tensor


def _channels_last(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _budget(device: torch.device) -> int:
    """Bytes: a quarter of what is free on the device; of the host's memory, each core's share of that."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    return psutil.virtual_memory().available // (4 * cores())

"""The device of this process, and the number format that every strategy of a study shares on it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from bench.core.spec import TrainSpec

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Precision:
    """Where and in which precision to compute. Weights and optimiser state stay in fp32."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def synchronize(self) -> None:
        """Wait for the device, so that a clock read afterwards is honest."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def choose(train: TrainSpec) -> Precision:
    """CUDA where there is one, in the format of the run's spec."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Precision(device, torch.bfloat16 if train.dtype == "bf16" else torch.float32)


def placed(model: Network, device: torch.device | None = None) -> Network:
    """The model itself, on `device` (None: where it is), its weights channels-last as the images are."""
    where = {} if device is None else {"device": device}
    model.to(**where, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no type for it
    return model

"""Checkpoints: weights as safetensors, optimiser state beside them, each written aside and then renamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, optim

from bench.models.model import Model
from bench.storage import weights as kept
from bench.storage.files import replaced


@dataclass
class Snapshot:
    """A model and its optimiser at the end of an epoch, held in host memory. record: what travels with the weights."""

    epoch: int
    phase: str
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    accuracy: float
    nll: float
    record: dict[str, str] = field(default_factory=dict)

    @classmethod
    def take(
        cls,
        model: Model,
        optimizer: optim.Optimizer | None,
        epoch: int,
        phase: str,
        accuracy: float,
        nll: float,
    ) -> Snapshot:
        state = _to_cpu(optimizer.state_dict()) if optimizer else {}
        return cls(epoch, phase, weights_of(model), state, accuracy, nll)

    def fits(self, model: Model) -> bool:
        """Whether the network still has the tensors that were kept."""
        now = model.net.state_dict()
        return now.keys() == self.weights.keys() and all(
            now[k].shape == v.shape for k, v in self.weights.items()
        )

    def better_than(self, other: Snapshot | None) -> bool:
        """Higher validation accuracy; on a tie lower validation NLL; else the earlier epoch stays."""
        return other is None or (self.accuracy, -self.nll) > (other.accuracy, -other.nll)

    def save(self, folder: Path) -> None:
        """`model.safetensors` and `optimizer.pt` (loads with weights_only=True)."""
        own = {"epoch": str(self.epoch), "phase": self.phase, "val_accuracy": repr(self.accuracy)}
        metadata = {**self.record, **own}
        kept.save(self.weights, folder / "model.safetensors", metadata)
        state = {"optimizer": self.optimizer, "epoch": self.epoch, "phase": self.phase}
        # a file of Python's: torch's own says nothing of a full disk
        with replaced(folder / "optimizer.pt") as aside, aside.open("wb") as file:
            torch.save(state, file)


def weights_of(model: Model) -> dict[str, Tensor]:
    """A copy of the network's tensors in host memory."""
    return {k: v.detach().to("cpu", copy=True).contiguous() for k, v in model.net.state_dict().items()}


def _to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {k: _to_cpu(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_to_cpu(v) for v in value]
    return value

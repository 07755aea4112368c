"""What a network trains as, and what it gives. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.core.lazy_torch import Tensor, nn

HEAD = "head"


@dataclass(frozen=True)
class Group:
    """Parameters trained at one learning rate. A parameter in no group of a phase is frozen (see `bench.methods.freeze`).

    `name` is the stage's name, "head", or what a method calls modules that it adds; the learning rate is logged as
    lr/<name>, and policies tell groups apart by it. Weight decay is never applied to biases and normalisation
    parameters.
    """

    params: Sequence[nn.Parameter]
    lr: float
    weight_decay: float = 0.0
    name: str = "backbone"

    @property
    def is_head(self) -> bool:
        return self.name == HEAD


@dataclass(frozen=True)
class Output:
    """One forward pass. logits: [B, K]. features: [B, D], what the classifier took. maps: by module name, the
    outputs of timm's feature stages from stem to top, [B, C, H, W] (or [B, tokens, C] in transformers).
    """

    logits: Tensor
    features: Tensor
    maps: Mapping[str, Tensor]

"""The few types that strategies are written against. Importing this file imports no torch: planning stays fast.

A freezing `Strategy` is a generator of `Phase`s; learning-rate policies and regularisers are `Transform`s of a
phase. The harness is `for phase in strategy.phases(model, task): fit(model, phase)`, so between two yields a
strategy sees the trained model.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.backbones.model import Model
    from bench.data.task import Task

HEAD = "head"


@dataclass(frozen=True)
class Group:
    """Parameters trained at one learning rate. A parameter in no group of a phase is frozen (see `bench.freeze`).

    `name` is the stage's name, or "head"; the learning rate is logged as lr/<name>, and policies tell groups
    apart by it. Weight decay is never applied to biases and normalisation parameters.
    """

    params: Sequence[nn.Parameter]
    lr: float
    weight_decay: float = 0.0
    name: str = "body"

    @property
    def is_head(self) -> bool:
        return self.name == HEAD


@dataclass(frozen=True)
class Batch:
    """What one optimisation step sees.

    x: [B, 3, H, W] float, normalised. y: [B] int64 labels. target: [B, K] probabilities (label smoothing applied).
    weight: [B] per-image weights of the loss (all one unless the study asks for a class-balanced loss).
    """

    x: Tensor
    y: Tensor
    target: Tensor
    weight: Tensor


Loss = Callable[["Model", Batch], "dict[str, Tensor]"]
"""Named terms of the loss, scalars; the loop sums them and logs each."""


def cross_entropy(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Weighted mean of -sum_k target_k log p_k, with torch's convention for weights: sum(w ce) / sum(w)."""
    log_p = model(batch.x).float().log_softmax(dim=-1)
    ce = -(batch.target * log_p).sum(dim=-1)
    return {"ce": (batch.weight * ce).sum() / batch.weight.sum()}


@dataclass(frozen=True)
class Phase:
    """Train `train` for `epochs` epochs on `loss`; everything else is frozen.

    norm_stats: "keep" runs trainable normalisation layers on their pretrained statistics (eval mode).
    """

    name: str
    epochs: int
    train: Sequence[Group]
    loss: Loss = cross_entropy
    norm_stats: Literal["update", "keep"] = "update"

    def map_groups(self, change: Callable[[Group], Group]) -> Phase:
        return replace(self, train=[change(group) for group in self.train])

    def add_term(self, name: str, term: Callable[[Model, Batch], Tensor]) -> Phase:
        """The same phase with `term` added to its loss under `name`."""
        base = self.loss

        def loss(model: Model, batch: Batch) -> dict[str, Tensor]:
            return {**base(model, batch), name: term(model, batch)}

        return replace(self, loss=loss)


@dataclass(frozen=True)
class Range:
    """The search range of a knob: `low`..`high`, or one of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None


def knob(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    log: bool = False,
    choices: Sequence[Any] = (),
) -> Any:
    """A knob's default and its search range, on the one line that declares it. Without a range it is not searched."""
    searched = Range(low, high, log, tuple(choices) or None) if low is not None or choices else None
    return field(default=default, metadata={"range": searched})


@dataclass(frozen=True)
class Knob:
    """A declared knob, as listed by `bench strategies`."""

    name: str
    default: Any
    range: Range | None


class Part(ABC):
    """Base of everything in the `strategies` table. Knobs are dataclass fields declared with `knob`."""

    family: ClassVar[Literal["freeze", "lr", "regularize", "method"]]
    source: ClassVar[str] = ""

    @classmethod
    def knobs(cls) -> list[Knob]:
        return [Knob(f.name, f.default, f.metadata.get("range")) for f in dataclasses.fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def summary(cls) -> str:
        return (cls.__doc__ or "").strip().splitlines()[0]


class Strategy(Part):
    """A freezing schedule (or a whole method): yields the phases of one run."""

    family = "freeze"
    trains_body: ClassVar[bool] = True  # False: only the head ever trains
    keeps_pretrained: ClassVar[bool] = True  # False: the body starts from random weights

    @abstractmethod
    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        """The phases in order. Raises `UserError` where the knobs do not fit the model (say, k above its stages)."""


class Transform(Part):
    """A learning-rate policy or a regulariser: turns each phase into another."""

    def refuses(self, strategy: type[Strategy], others: Sequence[type[Transform]]) -> str | None:
        """Why composing with `strategy` and `others` would be meaningless; None where it makes sense."""
        return None

    @abstractmethod
    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase: ...

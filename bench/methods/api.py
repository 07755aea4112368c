"""The few types that strategies are written against. Importing this file imports no torch: planning stays fast.

A `Strategy` (a freezing schedule, or a whole method) is a generator of `Phase`s; everything else is a `Transform`
of phases: learning-rate policies, schedules, regularisers, teachers. The harness is
`for phase in strategy.phases(model, task): fit(model, phase)`, so between two yields a strategy sees the trained
model. Strategies take `torch` and the names of types from here, so that none of their files imports more.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, dataclass_transform

from bench.core.errors import UserError
from bench.core.lazy_torch import Tensor, nn, torch
from bench.data.batch import Batch
from bench.models.types import Group, Output

if TYPE_CHECKING:
    from bench.data.images import ImageSet
    from bench.data.task import Task
    from bench.models.model import Model
else:
    ImageSet = Model = Task = Any

__all__ = [
    "Batch", "Group", "Hook", "Hyperparameter", "ImageSet", "Loss", "Model", "Output", "Part", "Phase", "Phases", "Range",
    "Schedule", "Strategy", "Task", "Tensor", "Transform", "UserError", "cross_entropy", "epoch_spans", "hyperparameter",
    "nn", "replace", "torch",
]  # fmt: skip

Loss = Callable[["Model", Batch], "dict[str, Tensor]"]
"""Named terms of the loss, scalars; the loop sums them and logs each."""

Hook = Callable[["Model"], None]

Schedule = Callable[[float], float]
"""Progress in [0, 1) -> factor on every group's learning rate."""


def cross_entropy(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy with soft targets and weights, as torch weighs classes: sum(w ce) / sum(w).

    Args:
        model: the network in training.
        batch: B images with `target` [B, classes] and `weight` [B].

    Returns:
        One term, "ce": a scalar, the weighted mean of -sum_k target_k log p_k.
    """
    log_p = batch.output(model).logits.float().log_softmax(dim=-1)
    ce = -(batch.target * log_p).sum(dim=-1)
    return {"ce": (batch.weight * ce).sum() / batch.weight.sum()}


@dataclass(frozen=True)
class Phase:
    """Train `train` for `epochs` epochs on `loss`; everything else is frozen.

    Attributes:
        name: for logs and messages.
        epochs: passes over the training images.
        train: the parameter groups that train, with their learning rates.
        loss: named terms, summed.
        norm_stats: "keep" runs trainable normalisation layers on their pretrained statistics (eval mode).
        schedule: of the learning rates; None is the study's.
        span: the part of the schedule that this phase covers; one that starts past 0 goes on with the optimiser state
            of the phase before it.
        unlabeled: unlabelled images per labelled one in each batch.
        preparation: measures something for later phases. Its epochs are none of the training budget, its time counts
            as preparation, and transforms leave it alone.
        batch_maps: change each batch before the loss, in order.
        backward_hooks: called after the gradients are computed.
        step_hooks: called after each optimiser step.
        eval_weights: state of `model.net` to evaluate, and to end the phase with (an average, say); None is the
            trained one.
        solve: replaces gradient steps: sets the parameters of `train` by itself.
    """

    name: str
    epochs: int
    train: Sequence[Group]
    loss: Loss = cross_entropy
    norm_stats: Literal["update", "keep"] = "update"
    schedule: Schedule | None = None
    span: tuple[float, float] = (0.0, 1.0)
    unlabeled: int = 0
    preparation: bool = False
    batch_maps: tuple[Callable[[Batch], Batch], ...] = ()
    backward_hooks: tuple[Hook, ...] = ()
    step_hooks: tuple[Hook, ...] = ()
    eval_weights: Callable[[], Mapping[str, Tensor]] | None = None
    solve: Callable[[Model, Task], None] | None = None

    @property
    def params(self) -> list[nn.Parameter]:
        """Everything that trains."""
        return [parameter for group in self.train for parameter in group.params]

    @property
    def head_lr(self) -> float:
        """The learning rate of the head, or else the highest: for modules that a method adds."""
        rates = [group.lr for group in self.train]
        return next((group.lr for group in self.train if group.is_head), max(rates))

    def map_groups(self, change: Callable[[Group], Group]) -> Phase:
        return replace(self, train=[change(group) for group in self.train])

    def add_group(self, name: str, params: Sequence[nn.Parameter], lr: float | None = None) -> Phase:
        """The same phase with one more parameter group.

        Args:
            name: of the group, in logs.
            params: what trains too.
            lr: its learning rate; None is the head's.
        """
        return replace(
            self, train=[*self.train, Group(params, self.head_lr if lr is None else lr, name=name)]
        )

    def add_term(self, name: str, term: Callable[[Model, Batch], Tensor]) -> Phase:
        """The same phase with `term`, a scalar, added to its loss under `name`."""
        base = self.loss

        def loss(model: Model, batch: Batch) -> dict[str, Tensor]:
            return {**base(model, batch), name: term(model, batch)}

        return replace(self, loss=loss)

    def map_batch(self, change: Callable[[Batch], Batch]) -> Phase:
        return replace(self, batch_maps=(*self.batch_maps, change))

    def after_backward(self, hook: Hook) -> Phase:
        return replace(self, backward_hooks=(*self.backward_hooks, hook))

    def after_step(self, hook: Hook) -> Phase:
        return replace(self, step_hooks=(*self.step_hooks, hook))


Phases = Iterator[Phase]


def epoch_spans(epochs: int) -> list[tuple[float, float]]:
    """The `span`s of one phase per epoch that together are one training run."""
    return [(i / epochs, (i + 1) / epochs) for i in range(epochs)]


@dataclass(frozen=True)
class Range:
    """The search range of a hyperparameter: `low`..`high`, or one of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None


def hyperparameter(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    log: bool = False,
    choices: Sequence[Any] = (),
) -> Any:
    """A hyperparameter's default and its search range, on the one line that declares it.

    Args:
        default: its value where a study says nothing.
        low: smallest value that is searched; without a range it is not searched.
        high: largest value that is searched.
        log: whether the search is even in the logarithm.
        choices: the values to search among, instead of a range.
    """
    searched = Range(low, high, log, tuple(choices) or None) if low is not None or choices else None
    return field(default=default, metadata={"range": searched})


@dataclass(frozen=True)
class Hyperparameter:
    """A declared hyperparameter, as listed by `bench strategies`."""

    name: str
    default: Any
    range: Range | None


@dataclass_transform(frozen_default=True, field_specifiers=(hyperparameter,))
class Part(ABC):
    """Base of everything in the `strategies` table: a frozen dataclass of its hyperparameters, and a method card.

    The module's docstring says what the method does. Costs are measured (`bench strategies NAME`).

    Attributes:
        family: the folder of `strategies/` that it lies in; a class that lies elsewhere sets it.
        source: where the method is from.
        when: where documents or papers recommend it.
        against: what is known against it.
        excludes: names of transforms that make no sense with this one, and why.
        judges_by_val: whether it looks at validation images while it trains, so that they stay apart to the end.
    """

    family: ClassVar[str]
    source: ClassVar[str] = ""
    when: ClassVar[str] = ""
    against: ClassVar[str] = ""
    excludes: ClassVar[Mapping[str, str]] = {}
    judges_by_val: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        package, _, rest = cls.__module__.partition(".")
        if package == "strategies" and "." in rest:
            cls.family = rest.partition(".")[0]
        dataclass(frozen=True)(cls)

    @classmethod
    def hyperparameters(cls) -> list[Hyperparameter]:
        return [Hyperparameter(f.name, f.default, f.metadata.get("range")) for f in dataclasses.fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def summary(cls) -> str:
        return (cls.__doc__ or "").strip().splitlines()[0]


class Strategy(Part):
    """A freezing schedule, or a whole method: yields the phases of one run.

    The epochs of all phases but preparations sum to `task.epochs`.

    Attributes:
        keeps_pretrained: False where all of the backbone starts from random weights.
        trains_backbone: False where only the head ever trains.
        moves_weights: False where the backbone's own weights stay, as under adapters.
        by_gradient: False where there are no gradient steps, so no loss to add to.
    """

    family = "freezing"
    keeps_pretrained: ClassVar[bool] = True
    trains_backbone: ClassVar[bool] = True
    moves_weights: ClassVar[bool] = True
    by_gradient: ClassVar[bool] = True

    @abstractmethod
    def phases(self, model: Model, task: Task) -> Phases:
        """The phases in order; between two yields, the strategy sees the trained model.

        Args:
            model: the network, its stages and its head.
            task: the run's images, epochs and seeds.

        Raises:
            UserError: before the first yield, where the hyperparameters do not fit the model, such as k above its
                number of stages.
        """

    def finish(self, model: Model) -> None:
        """What is done to the trained network before its final evaluation, such as merging adapters."""
        return None


NEEDS = {
    "keeps_pretrained": "all weights start random, so there is nothing pretrained to work on",
    "trains_backbone": "the backbone is frozen, so there is nothing for it to act on",
    "moves_weights": "the backbone's own weights stay as they are, so there is nothing for it to act on",
    "by_gradient": "nothing is trained by gradient steps",
}


class Transform(Part):
    """A learning-rate policy, schedule, regulariser, teacher or change of structure: turns phases into others.

    Attributes:
        needs: what `Strategy` must promise for this to make sense, as names of its attributes (keys of `NEEDS`).
        last: whether it acts on what all others have made of a phase, wherever it stands in the expression.
    """

    needs: ClassVar[tuple[str, ...]] = ("by_gradient",)
    last: ClassVar[bool] = False

    def phases(self, phases: Phases, model: Model, task: Task) -> Phases:
        """Each phase transformed, preparations as they are. Overridden by what adds phases or changes the network."""
        for phase in phases:
            yield phase if phase.preparation else self(phase, model, task)

    def __call__(self, phase: Phase, model: Model, task: Task) -> Phase:
        return phase

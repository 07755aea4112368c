"""`full + head_x10 + l2_sp`: parts of the strategies table composed to one strategy, or refused by name. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import strategies
from bench.core.errors import UserError, nearest
from bench.core.spec import PartSpec, StrategySpec
from bench.methods.api import NEEDS, Part, Phases, Strategy, Transform

if TYPE_CHECKING:
    from bench.data.task import Task
    from bench.models.model import Model

DEFAULT_LR = "uniform"
DEFAULT_REGULARIZE = "none"
AT_MOST_ONE = {"learning_rates": "learning-rate policies", "schedules": "schedules"}


class Meaningless(UserError):
    """A composition whose parts contradict each other: left out of products, refused where asked for by name."""

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(f"{label!r} makes no sense: {reason}")
        self.label, self.reason = label, reason


Hyperparameters = Mapping[str, Mapping[str, Any]]
"""part name -> hyperparameter name -> value."""


@dataclass(frozen=True)
class Composed:
    """A strategy under transforms, the first one applied first; behaves as a strategy."""

    strategy: Strategy
    transforms: tuple[Transform, ...]

    def phases(self, model: Model, task: Task) -> Phases:
        phases = self.strategy.phases(model, task)
        for transform in self.transforms:
            phases = transform.phases(phases, model, task)
        return phases

    def finish(self, model: Model) -> None:
        self.strategy.finish(model)


def build(spec: StrategySpec) -> Composed:
    """The runnable strategy of a spec."""
    first, *others = (strategies.get(p.name)(**p.hyperparameters) for p in spec.parts)
    transforms = cast(tuple[Transform, ...], tuple(others))  # as `parse` has made it
    return Composed(cast(Strategy, first), transforms)


def part(name: str) -> type[Part]:
    """The class of a part. Raises `UserError` with the nearest names."""
    if name not in strategies.TABLE:
        raise UserError(f"unknown strategy {name!r}{nearest(name, strategies.TABLE)}")
    return strategies.get(name)


def parse(expression: str, hyperparameters: Hyperparameters, label: str | None = None) -> StrategySpec:
    """The spec of `freeze [+ lr policy] [+ schedule] [+ regulariser ...]`, hyperparameters resolved to values.

    Raises `UserError` for unknown parts and hyperparameters, two parts of a kind, and meaningless compositions.
    """
    names = [name.strip() for name in expression.split("+")]
    classes = {name: part(name) for name in names}
    if len(classes) < len(names):
        raise UserError(f"{expression!r} names a part twice")
    freeze = [name for name, cls in classes.items() if issubclass(cls, Strategy)]
    if len(freeze) != 1:
        raise UserError(
            f"{expression!r} needs exactly one freezing schedule or method (such as full or linear_probe), "
            f"has {' and '.join(freeze) or 'none'}"
        )
    by_family = {family: [n for n, c in classes.items() if c.family == family] for family in AT_MOST_ONE}
    for family, found in by_family.items():
        if len(found) > 1:
            raise UserError(f"{expression!r} has two {AT_MOST_ONE[family]}: {' and '.join(found)}")
    rest = [n for n in names if n not in freeze and classes[n].family not in AT_MOST_ONE]
    rest.sort(key=lambda n: (_modification(n, classes[n]), getattr(classes[n], "last", False)))
    if DEFAULT_REGULARIZE in rest and len(rest) > 1:
        raise UserError(f"{expression!r}: {DEFAULT_REGULARIZE} excludes other regularisers")
    spec = StrategySpec(
        freeze=resolve(freeze[0], hyperparameters),
        lr=tuple(
            resolve(n, hyperparameters)
            for n in [*(by_family["learning_rates"] or [DEFAULT_LR]), *by_family["schedules"]]
        ),
        regularize=tuple(resolve(n, hyperparameters) for n in rest or [DEFAULT_REGULARIZE]),
    )
    if reason := refusal(spec):
        raise Meaningless(canonical_label(spec), reason)
    return StrategySpec(spec.freeze, spec.lr, spec.regularize, label or canonical_label(spec))


def _modification(name: str, cls: type[Part]) -> int:
    """Sorts changes of structure last, in the table's order: the last transform is the outermost, and the first to act.

    So the network has its final shape before any other part looks at it, however the expression was written.
    """
    return list(strategies.TABLE).index(name) if cls.family == "structure" else -1


def canonical_label(spec: StrategySpec) -> str:
    """The composition without its defaults: "full + l2_sp", not "full + uniform + l2_sp"."""
    extra = [p.name for p in (*spec.lr, *spec.regularize) if p.name not in (DEFAULT_LR, DEFAULT_REGULARIZE)]
    return " + ".join([spec.freeze.name, *extra])


def refusal(spec: StrategySpec) -> str | None:
    """Why this composition is meaningless, or None."""
    names = [p.name for p in spec.parts if p.name not in (DEFAULT_LR, DEFAULT_REGULARIZE)]
    classes = [part(name) for name in names]
    strategy = classes[0]
    for name, cls in zip(names, classes, strict=True):
        for need in getattr(cls, "needs", ()):
            if not getattr(strategy, need):
                return f"{name} with {names[0]}: {NEEDS[need]}"
        for other in names:
            if other in cls.excludes:
                return f"{name} with {other}: {cls.excludes[other]}"
    return None


def resolve(name: str, hyperparameters: Hyperparameters) -> PartSpec:
    """Defaults overlaid with the given hyperparameters of that part, types checked against the defaults."""
    cls = part(name)
    values = asdict(cls())  # type: ignore[call-overload]
    for key, value in hyperparameters.get(name, {}).items():
        if key not in values:
            raise UserError(
                f"{name} has no hyperparameter {key!r}{nearest(key, values)}"
                if values
                else f"{name} has no hyperparameters"
            )
        values[key] = _typed(f"{name}.{key}", value, values[key])
    return PartSpec(name, values)


def _typed(where: str, value: Any, default: Any) -> Any:
    expected = type(default)
    if expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or value < 0:
            raise UserError(f"{where} is {value}, expected a finite number of at least 0")
        return float(value)
    if type(value) is not expected:
        raise UserError(f"{where} is {value!r}, expected {expected.__name__}")
    return value


def check_hyperparameter_table(hyperparameters: Hyperparameters, used: Sequence[StrategySpec]) -> None:
    """Raises `UserError` for hyperparameters of a part that no strategy of the study uses: they would silently do
    nothing.
    """
    names = {p.name for s in used for p in s.parts}
    for name in hyperparameters:
        part(name)
        if name not in names:
            raise UserError(
                f"hyperparameters are given for {name!r}, which no strategy of the study uses{nearest(name, names)}"
            )

"""`full + head_x10 + l2_sp`: parts of the strategies table composed to one strategy, or refused by name. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import strategies
from bench.api import Part, Phase, Strategy, Transform
from bench.errors import UserError, nearest
from bench.spec import PartSpec, StrategySpec

if TYPE_CHECKING:
    from bench.backbones.model import Model
    from bench.data.task import Task

DEFAULT_LR = "uniform"
DEFAULT_REGULARIZE = "none"


class Meaningless(UserError):
    """A composition whose parts contradict each other: left out of products, refused where asked for by name."""

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(f"{label!r} makes no sense: {reason}")
        self.label, self.reason = label, reason


Knobs = Mapping[str, Mapping[str, Any]]
"""part name -> knob name -> value."""


@dataclass(frozen=True)
class Composed:
    """A freezing schedule under a learning-rate policy and regularisers; behaves as a strategy."""

    freeze: Strategy
    transforms: tuple[Transform, ...]

    def phases(self, model: Model, task: Task) -> Iterator[Phase]:
        for phase in self.freeze.phases(model, task):
            for transform in self.transforms:
                phase = transform(phase, model, task)
            yield phase


def build(spec: StrategySpec) -> Composed:
    """The runnable strategy of a spec."""
    freeze, *transforms = (
        strategies.get(p.name)(**p.knobs) for p in (spec.freeze, spec.lr, *spec.regularize)
    )
    return Composed(freeze, tuple(transforms))


def part(name: str) -> type[Part]:
    """The class of a part. Raises `UserError` with the nearest names."""
    if name not in strategies.TABLE:
        raise UserError(f"unknown strategy {name!r}{nearest(name, strategies.TABLE)}")
    return strategies.get(name)


def parse(expression: str, knobs: Knobs, label: str | None = None) -> StrategySpec:
    """The spec of `freeze [+ lr policy] [+ regulariser ...]`, knobs resolved to values.

    Raises `UserError` for unknown parts and knobs, two parts of a kind, and meaningless compositions.
    """
    names = [name.strip() for name in expression.split("+")]
    by_family: dict[str, list[str]] = {"freeze": [], "lr": [], "regularize": []}
    for name in names:
        family = part(name).family
        by_family["freeze" if family == "method" else family].append(name)
    if len(by_family["freeze"]) != 1:
        found = " and ".join(by_family["freeze"]) or "none"
        raise UserError(
            f"{expression!r} needs exactly one freezing schedule (such as full or linear_probe), has {found}"
        )
    if len(by_family["lr"]) > 1:
        raise UserError(f"{expression!r} has two learning-rate policies: {' and '.join(by_family['lr'])}")
    if len(set(names)) < len(names):
        raise UserError(f"{expression!r} names a part twice")
    spec = StrategySpec(
        freeze=resolve(by_family["freeze"][0], knobs),
        lr=resolve((by_family["lr"] or [DEFAULT_LR])[0], knobs),
        regularize=tuple(resolve(name, knobs) for name in by_family["regularize"] or [DEFAULT_REGULARIZE]),
    )
    if reason := refusal(spec):
        raise Meaningless(canonical_label(spec), reason)
    return StrategySpec(spec.freeze, spec.lr, spec.regularize, label or canonical_label(spec))


def canonical_label(spec: StrategySpec) -> str:
    """The composition without its defaults: "full + l2_sp", not "full + uniform + l2_sp"."""
    extra = [spec.lr.name, *(p.name for p in spec.regularize)]
    return " + ".join([spec.freeze.name, *(n for n in extra if n not in (DEFAULT_LR, DEFAULT_REGULARIZE))])


def refusal(spec: StrategySpec) -> str | None:
    """Why this composition is meaningless, or None."""
    freeze = part(spec.freeze.name)
    transforms = [part(p.name) for p in (spec.lr, *spec.regularize)]
    for transform in transforms:
        others = [t for t in transforms if t is not transform]
        if reason := transform().refuses(freeze, others):
            return reason
    return None


def resolve(name: str, knobs: Knobs) -> PartSpec:
    """Defaults overlaid with the given knobs of that part, types checked against the defaults."""
    cls = part(name)
    values = asdict(cls())  # type: ignore[call-overload]
    for key, value in knobs.get(name, {}).items():
        if key not in values:
            raise UserError(
                f"{name} has no knob {key!r}{nearest(key, values)}" if values else f"{name} has no knobs"
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


def check_knob_table(knobs: Knobs, used: Sequence[StrategySpec]) -> None:
    """Raises `UserError` for knobs of a part that no strategy of the study uses: they would silently do nothing."""
    names = {p.name for s in used for p in (s.freeze, s.lr, *s.regularize)}
    for name in knobs:
        part(name)
        if name not in names:
            raise UserError(
                f"knobs are given for {name!r}, which no strategy of the study uses{nearest(name, names)}"
            )

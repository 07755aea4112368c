"""Which hyperparameters of a strategy are searched, and where. Torch-free and Optuna-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from bench.core.errors import UserError, nearest
from bench.core.spec import PartSpec, StrategySpec
from bench.methods.api import Range
from bench.planning import compose

Params = Mapping[str, Any]
""""part.hyperparameter" -> value: what a trial draws."""


@dataclass(frozen=True)
class Searched:
    """A hyperparameter that is searched: from `low` to `high`, or one of `choices`. `default` is what trial 0 takes."""

    name: str  # "part.hyperparameter"
    default: Any
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None

    @property
    def text(self) -> str:
        if self.choices is not None:
            return "one of " + ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


def space(
    strategy: StrategySpec,
    search: Sequence[str],
    fix: Sequence[str],
    ranges: Mapping[str, Mapping[str, Any]],
) -> tuple[Searched, ...]:
    """The hyperparameters with a range that match a pattern of `search` and none of `fix`, with the study's own `ranges`.

    Raises `UserError` for a range that makes no sense, and where a default lies outside of it.
    """
    found = []
    for part in strategy.parts:
        declared = {
            hyperparameter.name: hyperparameter.range
            for hyperparameter in compose.part(part.name).hyperparameters()
        }
        own = ranges.get(part.name, {})
        for hyperparameter, value in part.hyperparameters.items():
            name = f"{part.name}.{hyperparameter}"
            limits = (
                _range(name, own[hyperparameter], declared[hyperparameter])
                if hyperparameter in own
                else declared[hyperparameter]
            )
            wanted = any(fnmatchcase(name, p) for p in search) and not any(fnmatchcase(name, p) for p in fix)
            if limits is not None and wanted:
                found.append(_searched(name, value, limits))
    return tuple(found)


def check(
    strategies: Sequence[StrategySpec],
    search: Sequence[str],
    fix: Sequence[str],
    ranges: Mapping[str, Mapping[str, Any]],
) -> None:
    """Raises `UserError` for patterns and ranges that speak of no hyperparameter of any strategy."""
    names = {
        f"{p.name}.{hyperparameter}"
        for s in strategies
        for p in s.parts
        for hyperparameter in p.hyperparameters
    }
    for pattern in (*search, *fix):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"{pattern!r} matches no hyperparameter of these strategies{nearest(pattern, sorted(names))}"
            )
    for part, hyperparameters in ranges.items():
        for wanted in (f"{part}.{hyperparameter}" for hyperparameter in hyperparameters):
            if wanted not in names:
                likely = nearest(wanted, sorted(names))
                raise UserError(f"{wanted} is no hyperparameter of these strategies{likely}")


def _range(name: str, given: Any, declared: Range | None) -> Range:
    """`[low, high]` for a number (on the declared scale), else a list of choices."""
    if not isinstance(given, list) or not given:
        raise UserError(f"{name}: expected [low, high] or a list of choices, is {given!r}")
    numbers = len(given) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in given)
    if declared is not None and declared.choices is None and not numbers:
        raise UserError(f"{name}: expected [low, high], is {given!r}")
    if not numbers or (declared is not None and declared.choices is not None):
        return Range(choices=tuple(given))
    low, high = given
    log = declared.log if declared is not None else low > 0 and high / low >= 100
    if not low < high or (log and low <= 0):
        raise UserError(f"{name}: {given} is no range{' on a logarithmic scale' if log else ''}")
    return Range(low, high, log)


def _searched(name: str, value: Any, limits: Range) -> Searched:
    if limits.choices is not None:
        if value not in limits.choices:
            raise UserError(f"{name}: its value {value!r} is none of the choices {list(limits.choices)}")
        return Searched(name, value, choices=limits.choices)
    assert limits.low is not None and limits.high is not None
    if not limits.low <= value <= limits.high:
        raise UserError(
            f"{name}: its value {value:g}, which trial 0 takes, is outside of the range that is searched, "
            f"{limits.low:g} to {limits.high:g}; give another value, or a wider range under tune.ranges"
        )
    return Searched(name, value, limits.low, limits.high, limits.log)


def with_params(strategy: StrategySpec, params: Params) -> StrategySpec:
    """The strategy with these hyperparameters."""

    def changed(part: PartSpec) -> PartSpec:
        own = {k: params.get(f"{part.name}.{k}", v) for k, v in part.hyperparameters.items()}
        return PartSpec(part.name, own)

    return replace(
        strategy,
        freeze=changed(strategy.freeze),
        lr=tuple(map(changed, strategy.lr)),
        regularize=tuple(map(changed, strategy.regularize)),
    )

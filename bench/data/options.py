"""The options of a dataset: declared once, with type, default and limits; checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.core.errors import UserError, nearest

_KINDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    tuple: "two numbers, the lower first",
}


@dataclass(frozen=True)
class Option:
    """An option of a dataset. low, high: inclusive limits. choices: the only values allowed.

    kind: tuple stands for two numbers, the lower first, written as a list. in_identity_at_default: whether runs that
    give the default are other runs than those that give nothing; False for options that came after runs were made.
    """

    kind: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    in_identity_at_default: bool = True

    def describe(self) -> str:
        default = str(self.default).lower() if self.kind is bool else self.default
        return f"{self.help} ({self._wanted()}; default {default})"

    def check(self, where: str, value: Any) -> Any:
        """`value` as `kind`. Raises UserError beginning with `where`."""
        if value is None and self.default is None:
            return None
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not self._typed(value) or not self._within(value):
            hint = nearest(value, self.choices) if self.choices and isinstance(value, str) else ""
            raise UserError(f"{where}: {value!r} is not a valid value, want {self._wanted()}{hint}")
        return value

    def _typed(self, value: Any) -> bool:
        if self.kind is tuple:
            pair = isinstance(value, list | tuple) and len(value) == 2
            return pair and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        # bool is an int to Python, but `draw: true` is a slip
        return isinstance(value, self.kind) and isinstance(value, bool) == (self.kind is bool)

    def _within(self, value: Any) -> bool:
        if self.kind is tuple:
            return bool(value[0] < value[1])
        if self.choices and value not in self.choices:
            return False
        # written so that nan is outside
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    def _wanted(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("from", self.low), ("to", self.high))
            if limit is not None
        ]
        return " ".join([_KINDS[self.kind], *limits])


RANGE = Option(
    tuple,
    None,
    "values that become black and white, of images with more than 8 bits; none: found over training images in files",
    in_identity_at_default=False,
)
"""The option `range` of the families that read images."""


def identifying(declared: dict[str, Option], given: dict[str, Any]) -> dict[str, Any]:
    """The options given that are part of what a run is."""
    return {
        name: value
        for name, value in given.items()
        if name not in declared or declared[name].in_identity_at_default or value != declared[name].default
    }


def resolve(dataset: str, declared: dict[str, Option], given: dict[str, Any]) -> dict[str, Any]:
    """All options of `dataset` with their values. Raises UserError for an unknown option or a wrong value."""
    for name in given:
        if name not in declared:
            known = nearest(name, declared) if declared else "; it has no options"
            raise UserError(f"dataset {dataset!r}: unknown option {name!r}{known}")
    return {
        name: option.check(f"dataset {dataset!r}, option {name!r}", given.get(name, option.default))
        for name, option in declared.items()
    }

"""Differences between any two strategies of a cell, directly or by way of the rule's pick."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reports.analysis.stats import Comparison, compare
from reports.analysis.units import Units
from reports.analysis.verdict import Cell


@dataclass(frozen=True)
class Direct:
    """`strategy` minus another. share: of the level."""

    found: Comparison
    family: int

    @property
    def strategy(self) -> str:
        return self.found.strategy

    @property
    def mean(self) -> float:
        return self.found.mean

    @property
    def low(self) -> float:
        return self.found.lower(self.found.level / self.family)

    def upper(self, share: float) -> float:
        return self.found.upper(self.found.level * share)


@dataclass(frozen=True)
class Indirect:
    """The same by way of the rule's pick; of the rule's pick itself one of the two is None, and no noise."""

    strategy: str
    own: Comparison | None
    other: Comparison | None
    family: int

    @property
    def mean(self) -> float:
        return (self.own.mean if self.own else 0.0) - (self.other.mean if self.other else 0.0)

    @property
    def low(self) -> float:
        share = self._part / self.family
        low = self.own.lower(self.own.level * share) if self.own else 0.0
        return low - (self.other.upper(self.other.level * share) if self.other else 0.0)

    def upper(self, share: float) -> float:
        share *= self._part
        high = self.own.upper(self.own.level * share) if self.own else 0.0
        return high - (self.other.lower(self.other.level * share) if self.other else 0.0)

    @property
    def _part(self) -> float:
        """The share of the level that each of the two gets."""
        return 0.5 if self.own and self.other else 1.0


Difference = Direct | Indirect


def differences(
    found: Units, cell: Cell, strategy: str, compared: Sequence[str], dropped: Collection[str]
) -> list[Difference]:
    """All others minus one strategy."""
    to_rule = {c.strategy: c for c in cell.comparisons}
    others = [name for name in compared if name != strategy]
    return [
        Indirect(c.strategy, to_rule.get(c.strategy), to_rule.get(strategy), len(others))
        if {strategy, c.strategy} & set(dropped)
        else Direct(c, len(others))
        for c in compare(found, strategy, others, cell.level)
    ]

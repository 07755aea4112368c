"""Which strategies are as good as the best, and which of them is the cheapest.

Three statements on the strategies of a cell, all of paired differences at the level of the cell's look, so that each
holds with the same chance as a verdict:

- *Tied*: not shown to be worse than any other. A strategy j is left out if some other one beats it at the level divided by
  the number of others (Bonferroni). So the truly best is left out with a chance of the level at most: it is enough that
  none of those comparisons with it errs.
- *Loses at most*: an upper bound on max_k delta_k - delta_j, what the true best has over j. Of each k its own bound would
  do for one j that was fixed beforehand (see `reports.analysis.verdict`), and so it is for the rule's pick, of which it is
  the upper bound of the regret. Any other j is picked by what is seen: the level is divided by their number.
- *As good as the best within the margin*: what j loses at most is below the margin.

An alternative that got no more seeds at an early look has few in common with the others. What there is to say of it was
said against the rule's pick, with all the seeds that it had; so it is compared with the others by way of the rule's pick:
k - j = (k - rule) - (j - rule), with half the level for each of the two.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import Metric
from reports.analysis.costs import mean_metric
from reports.analysis.rows import Row, finished, seconds_spent
from reports.analysis.stats import Comparison, compare
from reports.analysis.units import Units, accuracies, units
from reports.analysis.verdict import Cell


@dataclass(frozen=True)
class Standing:
    """How a strategy stands among the others of its cell. Fractions, seconds, bytes; nan or None: not known.

    Attributes:
        behind: Mean difference of the best mean to it, over the seeds that both have; 0 of the best itself.
        loses_at_most: Upper bound on what the true best has over it.
        tied: Whether it is not shown to be worse than any other.
        seconds: Training and preparation, mean of a run.
    """

    strategy: str
    behind: float
    loses_at_most: float
    tied: bool
    seconds: float | None
    memory: float | None


@dataclass(frozen=True)
class Ties:
    """The strategies of a cell by what they cost, the cheapest first.

    Attributes:
        best: The one with the best mean.
        choice: The cheapest that is shown to be as good as the best within the margin; where none is, the cheapest that
            is tied and seems to be within it.
        shown: Whether the former holds of `choice`.
    """

    cell: str
    standings: list[Standing]
    best: str
    choice: str
    shown: bool

    @property
    def tied(self) -> list[str]:
        return [one.strategy for one in self.standings if one.tied]

    def of(self, strategy: str) -> Standing:
        return next(one for one in self.standings if one.strategy == strategy)


def ties(rows: Sequence[Row], cell: Cell, margin: float, dropped: Collection[str] = ()) -> Ties | None:
    """How the strategies of a cell stand; None with fewer than two that can be compared.

    Args:
        rows: Those that the cell was judged on.
        dropped: Alternatives that got fewer seeds than the others.
    """
    found = units(rows)
    compared = _comparable(found, cell.strategies)
    if len(compared) < 2:
        return None
    # all others minus each strategy
    against = {
        j: [
            _by_way_of_rule(cell, c) if {j, c.strategy} & set(dropped) else c
            for c in compare(found, j, [k for k in compared if k != j], cell.level)
        ]
        for j in compared
    }
    best = _best(against)
    spent = _spent(rows)
    standings = [
        Standing(
            j,
            0.0 if j == best else next(c.mean for c in against[j] if c.strategy == best),
            _loses_at_most(cell, j, against),
            all(c.low <= 0 for c in against[j]),
            *spent.get(j, (None, None)),
        )
        for j in compared
    ]
    standings.sort(key=lambda one: (math.inf if one.seconds is None else one.seconds, one.behind))
    shown = [one.strategy for one in standings if one.loses_at_most < margin]
    near = [one.strategy for one in standings if one.tied and one.behind <= margin]
    return Ties(cell.name, standings, best, (shown or near or [best])[0], bool(shown))


def _loses_at_most(
    cell: Cell, strategy: str, against: Mapping[str, Sequence[Comparison | _Indirect]]
) -> float:
    if strategy == cell.rule and not math.isnan(cell.regret_high):
        return cell.regret_high
    picked = len(against) - (cell.rule in against)
    return max(0.0, max(c.upper(cell.level / picked) for c in against[strategy]))


@dataclass(frozen=True)
class _Indirect:
    """A difference by way of the rule's pick; of the rule's pick itself one of the two is None, and no noise."""

    strategy: str
    own: Comparison | None
    other: Comparison | None
    level: float
    family: int

    @property
    def mean(self) -> float:
        return (self.own.mean if self.own else 0.0) - (self.other.mean if self.other else 0.0)

    @property
    def low(self) -> float:
        level = self.level / self.family / (2 if self.own and self.other else 1)
        low = self.own.lower(level) if self.own else 0.0
        return low - (self.other.upper(level) if self.other else 0.0)

    def upper(self, level: float) -> float:
        level /= 2 if self.own and self.other else 1
        high = self.own.upper(level) if self.own else 0.0
        return high - (self.other.lower(level) if self.other else 0.0)


def _by_way_of_rule(cell: Cell, direct: Comparison) -> _Indirect:
    to_rule = {c.strategy: c for c in cell.comparisons}
    own, other = to_rule.get(direct.strategy), to_rule.get(direct.reference)
    return _Indirect(direct.strategy, own, other, cell.level, len(cell.strategies) - 1)


def _best(against: Mapping[str, Sequence[Comparison | _Indirect]]) -> str:
    """The one that leads the most others, by the mean over the seeds that both have; ties by the mean lead."""

    def lead(strategy: str) -> tuple[int, float]:
        means = [-c.mean for c in against[strategy]]
        return sum(mean > 0 for mean in means), fmean(means)

    return max(against, key=lead)


def _comparable(found: Units, strategies: Sequence[str]) -> list[str]:
    """Those that have at least two results, and can be compared with each other one that has."""
    having = [s for s in strategies if len(accuracies(found, s)) >= 2]
    known = {
        s: {c.strategy for c in compare(found, s, [o for o in having if o != s]) if c.known} for s in having
    }
    most = max(map(len, known.values()), default=0)
    return [s for s in having if known[s] and len(known[s]) == most]


def _spent(rows: Sequence[Row]) -> dict[str, tuple[float | None, float | None]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in finished(rows):
        groups[row["strategy"]].append(row)
    return {
        strategy: (
            fmean(seconds)
            if (seconds := [s for row in own if (s := seconds_spent(row)) is not None])
            else None,
            mean_metric(own, Metric.PEAK_MEMORY),
        )
        for strategy, own in groups.items()
    }

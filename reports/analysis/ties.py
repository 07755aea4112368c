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
k - j = (k - rule) - (j - rule), with half of its level for each of the two; that of a dropped one is the level of the look
that dropped it, as it was dropped for what was seen then.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import Metric
from reports.analysis.costs import mean_metric
from reports.analysis.differences import Difference, differences
from reports.analysis.rows import Row, finished, seconds_spent
from reports.analysis.units import Units, units
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
        left_out: Strategies that lack results under some condition, and cannot be compared with the others.
    """

    cell: str
    standings: list[Standing]
    best: str
    choice: str
    shown: bool
    left_out: list[str]

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
    against = {j: differences(found, cell, j, compared, dropped) for j in compared}
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
    left_out = [s for s in cell.strategies if s not in compared]
    tied = [one.strategy for one in standings if one.tied]
    near = [one.strategy for one in standings if one.tied and one.behind <= margin]
    return Ties(cell.name, standings, best, (shown or near or tied or [best])[0], bool(shown), left_out)


def _loses_at_most(cell: Cell, strategy: str, against: Mapping[str, Sequence[Difference]]) -> float:
    if strategy == cell.rule and not math.isnan(cell.regret_high):
        return cell.regret_high
    picked = len(against) - (cell.rule in against)
    return max(0.0, max(c.upper(1 / picked) for c in against[strategy]))


def _best(against: Mapping[str, Sequence[Difference]]) -> str:
    """The one that leads the most others, by the mean over the seeds that both have; ties by the mean lead."""

    def lead(strategy: str) -> tuple[int, float]:
        means = [-c.mean for c in against[strategy]]
        return sum(mean > 0 for mean in means), fmean(means)

    return max(against, key=lead)


def _comparable(found: Units, strategies: Sequence[str]) -> list[str]:
    """Those with two results under every condition of the cell, so that each can be compared with each.

    Where no two have them all, there is nothing to choose from.
    """
    conditions = {(dataset, *c) for (dataset, _), by in found.items() for c in by}
    counts: Counter[tuple[str, tuple[str, int, str]]] = Counter()
    for (dataset, _), by in found.items():
        counts.update((s, (dataset, *c)) for c, accuracies in by.items() for s in accuracies)
    return [s for s in strategies if all(counts[s, c] >= 2 for c in conditions)]


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

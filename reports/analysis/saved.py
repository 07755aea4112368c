"""What looking early has saved: runs and time against the same study with all its seeds for every strategy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.schema import Metric
from reports.analysis.rows import Row, condition_of


@dataclass(frozen=True)
class Saved:
    """runs: that are planned as it is; of: with all seeds. seconds: the same of their time; nan where none is known."""

    runs: int
    of: int
    seconds: float
    of_seconds: float


def saved(rows: Sequence[Row], at_most: int) -> Saved:
    """A run that was not made is taken to last as long as its strategy's others in the same cell."""
    groups: dict[tuple[str, str, str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        place = (row["cell"], row["strategy"], *condition_of(row))
        groups[place].append(row)
    each = [(len(own), _mean([row[Metric.TOTAL_SECONDS] for row in own])) for own in groups.values()]
    seconds, of_seconds = sum(n * mean for n, mean in each), sum(at_most * mean for _, mean in each)
    return Saved(len(rows), at_most * len(groups), seconds, of_seconds)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0

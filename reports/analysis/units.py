"""The unit of replication: a dataset with a seed. Accuracies are fractions.

A *block* is (dataset, n_per_class, backbone, seed): within it all strategies saw the same split, so that two
strategies are compared by the difference within a block, and the large spread over class draws cancels.

Blocks of one dataset and seed are not independent of each other: subsets are nested and split and seed are shared
by all sizes and backbones. A *unit*, (dataset, seed), is: a new seed draws the split anew. So differences are
averaged over the *conditions* (n_per_class, backbone) of a unit first, and units are what is counted.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from bench.core.schema import Metric, Status
from reports.analysis.rows import Row

COARSEST = 0.01
"""Step between possible accuracies that is assumed at most: that of a test set of 100 images."""

Block = tuple[str, int, str, int]
Blocks = Mapping[Block, Mapping[str, float]]
Unit = tuple[str, int]
Condition = tuple[int, str]
Units = Mapping[Unit, Mapping[Condition, Mapping[str, float]]]


def blocks(rows: Iterable[Row]) -> dict[Block, dict[str, float]]:
    """Test accuracy by block and strategy, of the finished runs that have one."""
    found: dict[Block, dict[str, float]] = defaultdict(dict)
    for row in rows:
        accuracy = row[Metric.TEST_ACCURACY]
        if row["status"] == Status.FINISHED and accuracy is not None:
            block = (row["dataset"], row["n_per_class"], row["backbone"], row["seed"])
            found[block][row["strategy"]] = accuracy
    return dict(found)


def units(rows: Iterable[Row]) -> dict[Unit, dict[Condition, dict[str, float]]]:
    """The same, by unit, condition and strategy."""
    found: dict[Unit, dict[Condition, dict[str, float]]] = defaultdict(dict)
    for (dataset, n, backbone, seed), accuracies in blocks(rows).items():
        found[dataset, seed][n, backbone] = accuracies
    return dict(found)


def pairs(cell: Units, strategy: str, reference: str) -> dict[Unit, tuple[float, float]]:
    """Accuracies of both, averaged over the conditions of a unit; only units that are complete.

    Complete: with every condition that the two share in any unit of that dataset. A unit without one of them would
    bring the difference between conditions into the spread over seeds. Of several datasets only the seeds count that
    are complete on all of them, so that a mean over units weighs datasets equally also in an unfinished study.
    """
    shared: dict[Unit, dict[Condition, tuple[float, float]]] = {}
    wanted: dict[str, set[Condition]] = defaultdict(set)
    for unit, by in cell.items():
        shared[unit] = both = {
            condition: (found[strategy], found[reference])
            for condition, found in by.items()
            if strategy in found and reference in found
        }
        wanted[unit[0]].update(both)
    complete = {
        unit: _average(list(both.values()))
        for unit, both in shared.items()
        if both and len(both) == len(wanted[unit[0]])
    }
    sets = len(datasets(complete))
    times = Counter(seed for _, seed in complete) if sets > 1 else {}
    return {unit: found for unit, found in complete.items() if sets < 2 or times[unit[1]] == sets}


def by_seed(found: Mapping[Unit, tuple[float, float]]) -> list[float]:
    """Differences of what `pairs` gives: of each seed the mean over the datasets, in the order of seeds."""
    values: dict[int, list[float]] = defaultdict(list)
    for (_, seed), (own, other) in found.items():
        values[seed].append(own - other)
    return [one[0] if len(one) == 1 else fmean(one) for one in values.values()]


def _average(found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    if len(found) == 1:  # the usual case, and this is the innermost loop of simulations
        return found[0]
    return fmean(own for own, _ in found), fmean(other for _, other in found)


def covers(cell: Units, strategy: str, reference: str) -> bool:
    """Whether `strategy` has results, beside the reference's, in every condition in which the reference has any.

    A difference over some backbones or sizes only would be compared with others over all of them.
    """
    measured: set[tuple[str, Condition]] = set()
    shared: set[tuple[str, Condition]] = set()
    for (dataset, _), by in cell.items():
        for condition, found in by.items():
            if reference in found:
                measured.add((dataset, condition))
                if strategy in found:
                    shared.add((dataset, condition))
    return measured == shared


def accuracies(cell: Units, strategy: str) -> list[float]:
    """Of each unit that has any, the mean over the conditions it has."""
    found = ([by[strategy] for by in conditions.values() if strategy in by] for conditions in cell.values())
    return [values[0] if len(values) == 1 else fmean(values) for values in found if values]


def datasets(found: Iterable[Unit]) -> list[str]:
    return list(dict.fromkeys(dataset for dataset, _ in found))


def rounding_sd(cell: Units, over: int | None = None) -> float:
    """Standard deviation that a paired difference has from rounding alone: sqrt(2 step^2 / 12 over).

    over: how many conditions a difference is averaged over; by default the fewest of a unit.

    Accuracies are multiples of 1 / (test images). Two seeds that happen to give the same difference would
    otherwise have a spread of zero and an interval without width, and prove anything. The step is estimated
    by the smallest gap between accuracies of a dataset; it is 0 if all are equal.
    """
    values: dict[str, set[float]] = defaultdict(set)
    for (dataset, _), conditions in cell.items():
        for found in conditions.values():
            values[dataset].update(found.values())
    step = max((smallest_gap(sorted(found)) for found in values.values()), default=0.0)
    averaged = over or min(map(len, cell.values()), default=1)
    return min(step, COARSEST) / math.sqrt(6 * averaged)


def smallest_gap(values: list[float]) -> float:
    """Gaps below 1e-6 are not steps but noise of 32-bit arithmetic."""
    return min((b - a for a, b in pairwise(values) if b - a > 1e-6), default=0.0)

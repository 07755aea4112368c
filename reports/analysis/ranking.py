"""All strategies in one order, each against one baseline, over everything that the study measured.

A *condition* is (dataset, n_per_class, backbone). Per seed, the paired difference to the baseline is averaged over
all conditions; these averages, one per seed, are independent, and give the mean and its Student-t interval. So the
interval speaks for the study's own conditions, whatever they have in common, and not for others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from bench.core.schema import Status
from reports.analysis.rows import Row, condition_of, seconds_spent
from reports.analysis.stats import ALPHA, Mean, holm, mean_of, two_sided
from reports.analysis.units import Blocks, blocks, rounding_sd, units

LEAST = 3
"""A ranking of fewer strategies says no more than the verdicts do."""


@dataclass(frozen=True)
class Ranked:
    """One strategy. Accuracies and differences are fractions, over the seeds in which both are complete.

    interval: of the difference to the baseline. p: two-sided, of "no difference", Holm's correction over the
    strategies; nan for the baseline and where there is no interval. by_cell: mean difference per cell. time: training
    and preparation as a multiple of the baseline's. ranks: the best and the worst place that it may truly have, which hold
    for all strategies at once with 95 %.
    """

    strategy: str
    accuracy: float
    interval: Mean
    by_cell: dict[str, float]
    time: float | None
    p: float = math.nan
    ranks: tuple[int, int] = (1, 1)


def rank(baseline: str | None, rows: Sequence[Row]) -> list[Ranked]:
    """Best first, the baseline among them; empty without a baseline that has results, or too few strategies."""
    labels = list(dict.fromkeys(row["strategy"] for row in rows))
    if baseline is None or baseline not in labels or len(labels) < LEAST:
        return []
    found = blocks(rows)
    cells = {condition_of(row): row["cell"] for row in rows}
    seconds = _seconds(rows)
    floor = rounding_sd(units(rows), len(cells))
    ranked = [_ranked(label, baseline, found, cells, seconds, floor) for label in labels]
    corrected = _corrected([r for r in ranked if r], baseline)
    places = _places([r.strategy for r in corrected], found, len(cells), floor)
    corrected = [replace(r, ranks=places[r.strategy]) for r in corrected]
    return sorted(corrected, key=lambda r: -r.interval.mean)


def _places(
    labels: Sequence[str], found: Blocks, conditions: int, floor: float
) -> dict[str, tuple[int, int]]:
    """Simultaneous intervals of ranks: a strategy is behind those that are shown to be better, and before those that are
    shown to be worse, by t intervals that hold for all pairs together (Bonferroni; Mogstad, Romano, Shaikh and Wilhelm,
    Review of Economic Studies 2024, invert such tests too).
    """
    pairs = len(labels) * (len(labels) - 1) / 2
    means: dict[str, dict[int, float]] = {label: _by_seed(label, found, conditions) for label in labels}
    better: dict[str, int] = dict.fromkeys(labels, 0)
    worse: dict[str, int] = dict.fromkeys(labels, 0)
    for one, other in combinations(labels, 2):
        shared = means[one].keys() & means[other].keys()
        difference = mean_of(
            [means[one][seed] - means[other][seed] for seed in sorted(shared)], 1 - 2 * ALPHA / pairs, floor
        )
        if difference.low > 0 or difference.high < 0:
            ahead, behind = (one, other) if difference.low > 0 else (other, one)
            better[behind] += 1
            worse[ahead] += 1
    return {label: (1 + better[label], len(labels) - worse[label]) for label in labels}


def _by_seed(label: str, found: Blocks, conditions: int) -> dict[int, float]:
    """Accuracy by seed, the mean over all conditions, of the seeds that have them all."""
    values: dict[int, list[float]] = defaultdict(list)
    for (_, _, _, seed), accuracies in found.items():
        if label in accuracies:
            values[seed].append(accuracies[label])
    return {seed: fmean(own) for seed, own in values.items() if len(own) == conditions}


def _corrected(ranked: Sequence[Ranked], baseline: str) -> list[Ranked]:
    """With Holm's p-values; a strategy without an interval counts as one that is not better."""
    others = [r for r in ranked if r.strategy != baseline]
    ps = [two_sided(r.interval) if r.interval.n > 1 else 1.0 for r in others]
    adjusted = {r.strategy: p for r, p in zip(others, holm(ps), strict=True) if r.interval.n > 1}
    return [replace(r, p=adjusted.get(r.strategy, math.nan)) for r in ranked]


def _ranked(
    label: str,
    baseline: str,
    found: Blocks,
    cells: Mapping[tuple[str, int, str], str],
    seconds: Mapping[str, float],
    floor: float,
) -> Ranked | None:
    by_seed: dict[int, dict[tuple[str, int, str], tuple[float, float]]] = defaultdict(dict)
    for (dataset, n, backbone, seed), accuracies in found.items():
        if {label, baseline} <= set(accuracies):
            by_seed[seed][dataset, n, backbone] = (accuracies[label], accuracies[baseline])
    complete = [pairs for pairs in by_seed.values() if len(pairs) == len(cells)]
    if not complete:
        return None
    by_cell: dict[str, list[float]] = defaultdict(list)
    for pairs in complete:
        for condition, (own, other) in pairs.items():
            by_cell[cells[condition]].append(own - other)
    return Ranked(
        label,
        fmean(own for pairs in complete for own, _ in pairs.values()),
        mean_of(
            [fmean(own - other for own, other in pairs.values()) for pairs in complete],
            smallest_sd=floor if label != baseline else 0.0,
        ),
        {cell: fmean(values) for cell, values in by_cell.items()},
        seconds[label] / seconds[baseline] if seconds.get(baseline) and label in seconds else None,
    )


def _seconds(rows: Sequence[Row]) -> dict[str, float]:
    """Mean seconds of training and preparation per run."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        spent = seconds_spent(row)
        if row["status"] == Status.FINISHED and spent is not None:
            found[row["strategy"]].append(spent)
    return {strategy: fmean(values) for strategy, values in found.items()}

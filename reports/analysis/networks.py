"""Do networks agree on the order of strategies? Only strategies that have results on all of them are compared.

*Agreement* of two networks is Spearman's correlation between the test accuracies of the strategies on the one with one
seed and on the other with another seed, averaged over pairs of seeds and over datasets and sizes. Of a network with itself
it says how far seeds alone change the order: networks agree as far as they can where they agree with each other as
they do with themselves. (With one seed on both, networks would share the split, and agree for that.)

*Transferred*: on each seed, the strategy that is best on network A over the other seeds, against the one that is best
on B over the other seeds, both on B. Nothing is picked on the seed that it is judged by, so picking adds no bias.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

from bench.core.schema import Status
from reports.analysis.ranking import LEAST, Ranked, rank
from reports.analysis.rows import Row
from reports.analysis.stats import Mean, mean_of
from reports.analysis.units import blocks

Place = tuple[str, int]
Table = Mapping[tuple[str, int], Mapping[Place, Mapping[str, float]]]
""""(network, seed) -> (dataset, images per class) -> strategy -> accuracy"""


@dataclass(frozen=True)
class Networks:
    """names: the networks, in the plan's order; strategies: best first, by the mean over networks.

    against: network -> strategy -> its place against the baseline there. agreement, transferred: by pair of networks.
    """

    names: list[str]
    strategies: list[str]
    baseline: str
    against: dict[str, dict[str, Ranked]]
    agreement: dict[tuple[str, str], float]
    transferred: dict[tuple[str, str], Mean]


def networks(baseline: str | None, rows: Sequence[Row]) -> Networks | None:
    """None with one network, fewer than three strategies in common, or fewer than two seeds that are complete."""
    found, strategies = _complete(rows)
    measured, seeds = {name for name, _ in found}, {seed for _, seed in found}
    names = [name for name in dict.fromkeys(row["backbone"] for row in rows) if name in measured]
    if len(names) < 2 or len(strategies) < LEAST or len(seeds) < 2 or baseline not in strategies:
        return None
    of_each = {
        name: [r for r in rows if r["backbone"] == name and r["strategy"] in strategies] for name in names
    }
    against = {name: {one.strategy: one for one in rank(baseline, own)} for name, own in of_each.items()}
    pairs = list(product(names, names))
    return Networks(
        names,
        sorted(strategies, key=lambda s: -fmean(against[name][s].interval.mean for name in names)),
        baseline,
        against,
        {(a, b): _agreement(found, a, b, seeds) for a, b in pairs},
        {
            (a, b): mean_of([_transferred(found, a, b, seed, seeds) for seed in sorted(seeds)])
            for a, b in pairs
        },
    )


def _complete(rows: Sequence[Row]) -> tuple[Table, list[str]]:
    """Accuracies of the seeds in which every network has every strategy that all have, and those strategies."""
    planned = {(row["dataset"], row["n_per_class"]) for row in rows}
    names = {row["backbone"] for row in rows if row["status"] == Status.FINISHED}
    table: dict[tuple[str, int], dict[Place, Mapping[str, float]]] = defaultdict(dict)
    has: dict[str, set[str]] = defaultdict(set)
    for (dataset, n, backbone, seed), accuracies in blocks(rows).items():
        table[backbone, seed][dataset, n] = accuracies
        for strategy in accuracies:
            has[strategy].add(backbone)
    common = [s for s in dict.fromkeys(row["strategy"] for row in rows) if has[s] == names]
    whole = {
        key
        for key, by in table.items()
        if by.keys() == planned and all(set(common) <= accuracies.keys() for accuracies in by.values())
    }
    seeds = {seed for _, seed in whole if all((name, seed) in whole for name in names)}
    return {key: by for key, by in table.items() if key[1] in seeds}, common


def _agreement(found: Table, a: str, b: str, seeds: set[int]) -> float:
    from scipy.stats import spearmanr

    values = []
    for i, j in product(seeds, seeds):
        if i != j:
            for place, own in found[a, i].items():
                shared = sorted(own.keys() & found[b, j][place].keys())
                other = found[b, j][place]
                values.append(float(spearmanr([own[s] for s in shared], [other[s] for s in shared])[0]))
    return fmean(values)


def _transferred(found: Table, a: str, b: str, seed: int, seeds: set[int]) -> float:
    """Accuracy lost on network b with this seed by taking a's best strategy in place of b's own."""
    others = seeds - {seed}
    own, taken = (_best([found[name, other] for other in others]) for name in (b, a))
    return fmean(accuracies[own] - accuracies[taken] for accuracies in found[b, seed].values())


def _best(tables: Sequence[Mapping[Place, Mapping[str, float]]]) -> str:
    """The strategy with the highest mean accuracy over everything in these tables."""
    values: dict[str, list[float]] = defaultdict(list)
    for by in tables:
        for accuracies in by.values():
            for strategy, accuracy in accuracies.items():
                values[strategy].append(accuracy)
    return max(values, key=lambda s: (len(values[s]), fmean(values[s])))

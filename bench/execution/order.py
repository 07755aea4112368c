"""The order in which missing runs start: seed after seed, so that a study that is stopped has whole seeds to compare,
and in each seed the longest runs first, so that no worker begins a long one when the others have nothing left to do
(R. L. Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17, 1969: at most 4/3 of the optimum).
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.spec import RunSpec
from bench.execution.estimate import Estimator
from bench.planning import catalogue
from bench.planning.plan import PlannedRun


def longest_first(runs: Sequence[PlannedRun], estimator: Estimator) -> list[PlannedRun]:
    """The runs, those of a seed by what they are expected to take: as finished runs say, or by rule of thumb."""
    seeds = {seed: rank for rank, seed in enumerate(dict.fromkeys(run.spec.seed for run in runs))}

    def key(run: PlannedRun) -> tuple[int, float]:
        seconds = estimator.seconds(run.row())
        return seeds[run.spec.seed], -(
            rough_cost(run.spec, run.images_per_class) if seconds is None else seconds
        )

    return sorted(runs, key=key)


def rough_cost(spec: RunSpec, images_per_class: int) -> float:
    """Samples seen times the measured cost of the strategy's parts, in no particular unit."""
    per_class = max(images_per_class * spec.train.epochs, spec.train.min_steps * spec.train.batch_size / 10)
    factor = 1.0
    for part in spec.strategy.parts:
        cost = catalogue.measured_cost(part.name)
        factor *= cost["seconds"] if cost else 1.0
    return per_class * factor

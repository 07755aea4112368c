"""Which runs may be trained as one: a first look at their specs, without torch.

`bench.training.heads.conditions` has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.core.spec import PartSpec, RunSpec
from bench.methods.api import Strategy
from bench.planning import compose
from bench.planning.plan import PlannedRun

AT_MOST = 32
"""Runs that are trained as one. They are logged side by side, and lost side by side where one process is killed."""


def possible(spec: RunSpec) -> bool:
    """Whether nothing in its spec speaks against training its head beside others.

    It trains nothing but a head, by gradient steps in float32, on images in few views, and ends with its last epoch.
    """
    part, train = compose.part(spec.strategy.freeze.name), spec.train
    assert issubclass(part, Strategy)
    head_only = part.by_gradient and not part.trains_backbone and spec.teacher is None
    few_views = train.augment != "crop" or train.views > 0
    return head_only and few_views and train.dtype == "fp32" and train.evaluate == "last"


def grouped(runs: Iterable[PlannedRun]) -> list[list[PlannedRun]]:
    """The runs in their order, those beside each other that differ in hyperparameters alone and may be trained as one."""
    groups: dict[str, list[list[PlannedRun]]] = {}
    found: list[list[PlannedRun]] = []
    for run in runs:
        key = _without_hyperparameters(run.spec).run_id if possible(run.spec) else run.run_id
        same = groups.setdefault(key, [])
        if not same or len(same[-1]) == AT_MOST:
            same.append([])
            found.append(same[-1])
        same[-1].append(run)
    return found


def _without_hyperparameters(spec: RunSpec) -> RunSpec:
    def bare(parts: Iterable[PartSpec]) -> tuple[PartSpec, ...]:
        return tuple(PartSpec(part.name) for part in parts)

    own = spec.strategy
    (freeze,) = bare([own.freeze])
    return replace(
        spec, strategy=replace(own, freeze=freeze, lr=bare(own.lr), regularize=bare(own.regularize))
    )

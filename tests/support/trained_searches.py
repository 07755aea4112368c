"""Searches whose trials really train, on a few small images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec
from bench.planning import compose
from bench.planning.search_space import space
from bench.planning.searches import Budget, Method, Tuning
from bench.storage.places import Places
from bench.tracking.plain import Tracking
from bench.tuning import search
from tests.support.tuning_samples import TRAIN

OPTIONS = {"pool_per_class": 12, "test_per_class": 5}
ROW = {
    "dataset": "fine", "similarity": "similar", "size": "small", "cell": "similar-small", "n_per_class": 10,
    "backbone": "test_resnet", "strategy": "full", "seed": 0, "setting": "tuned", "run_id": "-",
}  # fmt: skip


def make_spec(expression: str = "full", **changes: Any) -> RunSpec:
    strategy = compose.parse(expression, {}, expression)
    data = DatasetSpec("synthetic/fine", OPTIONS)
    return replace(RunSpec(data, 10, BackboneSpec("test_resnet", "random"), strategy, 0, TRAIN), **changes)


def make_search(spec: RunSpec, trials: int = 3, **method: Any) -> Tuning:
    return Tuning(spec, space(spec.strategy, ["*"], [], {}), Budget("trials", trials), Method(**method))


def ignore(*args: Any) -> None:
    return None


def run(tuning: Tuning, places: Places, tracking: Tracking) -> dict[str, Any]:
    return search.run(ignore, tuning, ROW, places, tracking)

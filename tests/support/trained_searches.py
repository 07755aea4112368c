"""Searches whose trials really train, on a few small images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec
from bench.planning import compose
from bench.planning.search_space import space
from bench.planning.searches import Budget, Method, Tuning
from bench.storage.places import Places
from bench.tracking.plain import Tracking
from bench.tuning import search
from tests.support.tuning_samples import TRAIN

OPTIONS = {"pool_per_class": 12, "test_per_class": 5}
ROW = PlannedRow("-", "fine", "similar", "small", "similar-small", 10, "test_resnet", "full", 0, "tuned")


def make_spec(expression: str = "full", **changes: Any) -> RunSpec:
    strategy = compose.parse(expression, {}, expression)
    data = DatasetSpec("synthetic/fine", OPTIONS)
    return replace(RunSpec(data, 10, BackboneSpec("test_resnet", "random"), strategy, 0, TRAIN), **changes)


def make_search(spec: RunSpec, trials: int = 3, splits: int = 1, **method: Any) -> Tuning:
    """By default on one split, which is half the training."""
    budget = Budget("trials", trials)
    return Tuning(spec, space(spec.strategy, ["*"], [], {}), budget, Method(splits=splits, **method))


def ignore(*args: Any) -> None:
    return None


def run(tuning: Tuning, places: Places, tracking: Tracking) -> Result:
    return search.run(ignore, tuning, ROW, places, tracking)

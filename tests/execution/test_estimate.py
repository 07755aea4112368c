"""What a study is expected to take: from the finished runs most like the missing ones, at a cost that does not grow."""

from __future__ import annotations

import random

import pytest

from bench.core.records.planned import PlannedRow
from bench.execution.estimate import Estimator


def row(dataset: str, n: int, backbone: str, strategy: str) -> PlannedRow:
    return PlannedRow("-", dataset, "similar", "small", "similar-small", n, backbone, strategy, 0)


def test_the_likest_finished_runs_speak() -> None:
    estimator = Estimator()
    assert estimator.seconds(row("a", 5, "b", "s")) is None
    estimator.learn(row("a", 5, "b", "s"), 1.0)
    estimator.learn(row("a", 5, "b", "s"), 3.0)
    estimator.learn(row("x", 5, "b", "s"), 8.0)
    estimator.learn(row("x", 5, "b", "t"), 20.0)
    estimator.learn(row("x", 9, "b", "t"), 68.0)
    assert estimator.seconds(row("a", 5, "b", "s")) == 2.0, "the same but for the seed"
    assert estimator.seconds(row("new", 5, "b", "s")) == 4.0, "the same strategy and size"
    assert estimator.seconds(row("a", 5, "b", "new")) == 8.0, "the same size"
    assert estimator.seconds(row("a", 7, "b", "s")) == 20.0, "the same backbone"
    assert estimator.seconds(row("a", 5, "new", "s")) == 20.0, "any"


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_is_the_sum_over_what_is_missing(seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        row(*(draw.choice(axis) for axis in ("abc", [5, 9], "pq", "stuv")))  # type: ignore[arg-type]
        for _ in range(120)
    ]
    estimator, missing = Estimator(), list(rows)
    assert estimator.left(2) == 0.0
    for each in rows:
        estimator.expect(each)
    assert estimator.left(2) is None, "nothing has finished"
    for each in draw.sample(rows, len(rows)):
        missing.remove(each)
        estimator.over(each)
        if draw.random() < 0.7:  # others fail
            estimator.learn(each, draw.uniform(1, 100))
        assert estimator.left(2) == pytest.approx(estimator.remaining(missing, 2), abs=1e-6)
    assert estimator.left(2) == 0.0

from __future__ import annotations

import pytest

from bench.core.collapse import collapsed
from bench.core.schema import Metric


def metrics(test: float | None, training: float | None, largest: float = 0.25) -> dict[str, float | None]:
    return {
        Metric.TEST_ACCURACY: test,
        Metric.TEST_LARGEST_CLASS: largest,
        Metric.TRAIN_ACCURACY_END: training,
        Metric.TRAIN_LARGEST_CLASS: 0.1,
    }


@pytest.mark.parametrize(
    ("test", "training", "expected"),
    [
        (0.25, 0.9, "test"),
        (0.25 + 1e-8, 0.9, "test"),  # a float32 of .25 and some
        (0.1, 0.1, "test, training"),
        (0.9, 0.1, "training"),
        (0.26, 0.11, "no"),
        (0.26, None, "no"),
        (0.25, None, "test"),
        (None, 0.9, None),
    ],
)
def test_not_above_always_saying_the_largest_class(
    test: float | None, training: float | None, expected: str | None
) -> None:
    assert collapsed(metrics(test, training)) == expected


def test_runs_of_earlier_versions_are_not_known() -> None:
    assert collapsed({Metric.TEST_ACCURACY: 0.1}) is None and collapsed({}) is None

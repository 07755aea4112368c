"""Rows of one cell with one dataset, from accuracies by strategy and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.core.schema import Metric

SECONDS = {"rule": 40.0, "cheap": 1.0, "dear": 90.0, "bad": 5.0}


def rows(accuracies: Mapping[str, Sequence[float | None]]) -> list[dict]:
    """A strategy's accuracies are over seeds; None: not finished."""
    return [
        {
            "dataset": "d",
            "n_per_class": 10,
            "backbone": "b",
            "seed": seed,
            "cell": "similar-small",
            "strategy": strategy,
            "status": "failed" if value is None else "finished",
            Metric.TEST_ACCURACY: value,
            Metric.TRAIN_SECONDS: SECONDS.get(strategy, 10.0),
            Metric.PREPARE_SECONDS: 0.0,
            Metric.PEAK_MEMORY: 100,
        }
        for strategy, values in accuracies.items()
        for seed, value in enumerate(values)
    ]

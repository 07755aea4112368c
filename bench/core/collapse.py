"""Runs that have learnt nothing: no better than always saying the largest class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.metrics import Metric

ROUNDING = 1e-6
"""Accuracies nearer than this are equal: they are rounded to 32 bits."""

ON = {
    "test": (Metric.TEST_ACCURACY, Metric.TEST_LARGEST_CLASS),
    "training": (Metric.TRAIN_ACCURACY_END, Metric.TRAIN_LARGEST_CLASS),
}
"""On which images -> the accuracy there, and that of always saying their largest class."""

NOT_COLLAPSED = "no"


def collapsed(metrics: Mapping[str, Any]) -> str | None:
    """On which images a run's accuracy is not above always saying the largest class: "test", "training", both, or "no".

    None where it is not known, as of runs without a result and of earlier versions. A constant answer, whichever, is
    never above it. Training accuracy is that of the last epoch, each image before its step; what fits its head at once
    (`logreg`) has none.
    """
    known = {
        where: (metrics[key], metrics[largest])
        for where, (key, largest) in ON.items()
        if metrics.get(key) is not None and metrics.get(largest) is not None
    }
    if "test" not in known:
        return None
    return ", ".join(where for where, (own, most) in known.items() if own <= most + ROUNDING) or NOT_COLLAPSED

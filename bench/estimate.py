"""How long the missing runs will take, from the finished ones most like them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import mean
from typing import Any

LIKENESS = [
    ("dataset", "n_per_class", "backbone", "strategy"),
    ("n_per_class", "backbone", "strategy"),
    ("n_per_class", "backbone"),
    ("backbone",),
    (),
]
"""What a finished run must share with a missing one to speak for it, strictest first."""


class Estimator:
    """Mean seconds of a run, learnt from finished ones."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Any, ...], list[float]] = defaultdict(list)

    def learn(self, row: dict[str, Any], seconds: float) -> None:
        for keys in LIKENESS:
            self._seen[(keys, *(row[k] for k in keys))].append(seconds)

    def seconds(self, row: dict[str, Any]) -> float | None:
        """Expected seconds of one run; None while nothing has finished."""
        for keys in LIKENESS:
            if seen := self._seen.get((keys, *(row[k] for k in keys))):
                return mean(seen)
        return None

    def remaining(self, rows: Iterable[dict[str, Any]], workers: int) -> float | None:
        """Expected seconds of wall time for `rows` on `workers` workers; None while nothing has finished."""
        expected = [self.seconds(row) for row in rows]
        if any(seconds is None for seconds in expected):
            return None
        return sum(s for s in expected if s is not None) / workers


def words(seconds: float | None) -> str:
    """ "about 2 min", in the coarsest unit that still says something."""
    if seconds is None:
        return "unknown: no run of this study has finished yet"
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"

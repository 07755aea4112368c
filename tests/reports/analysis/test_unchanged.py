"""Which strategies fell below the unchanged network, counted on hand-made rows."""

from __future__ import annotations

from typing import Any

import pytest

from bench.core.schema import Metric, Status
from reports.analysis.unchanged import falls


def row(strategy: str, before: float | None, after: float | None, **more: Any) -> dict[str, Any]:
    return {
        "strategy": strategy, "status": Status.FINISHED, "cell": "similar-small",
        Metric.TEST_ACCURACY: after, Metric.NCM_TEST_ACCURACY: before, **more,
    }  # fmt: skip


CASES: list[tuple[str, list[dict[str, Any]], dict[str, tuple[int, int]]]] = [
    # (situation, rows, strategy -> (below, runs))
    ("better and worse", [row("a", 0.5, 0.6), row("a", 0.5, 0.4)], {"a": (1, 2)}),
    ("equal is at least as good", [row("a", 0.5, 0.5)], {"a": (0, 1)}),
    ("equal but for 32 bits", [row("a", 1 / 3, 0.33333331)], {"a": (0, 1)}),
    ("one image of 10,000", [row("a", 0.5, 0.4999)], {"a": (1, 1)}),
    ("without the score before", [row("a", None, 0.1), row("a", 0.2, 0.1)], {"a": (1, 1)}),
    ("never with the score before", [row("a", None, 0.1)], {}),
    ("not finished", [row("a", 0.5, 0.1, status=Status.KILLED), row("b", 0.5, None)], {}),
    ("zero is known", [row("a", 0.0, 0.0), row("b", 0.1, 0.0)], {"b": (1, 1), "a": (0, 1)}),
]


@pytest.mark.parametrize(("what", "rows", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_runs_below_are_counted(what: str, rows: list[dict[str, Any]], wanted: dict[str, tuple[int, int]]) -> None:  # fmt: skip
    assert {fall.strategy: (fall.below, fall.runs) for fall in falls(rows)} == wanted
    assert [fall.strategy for fall in falls(rows)] == list(wanted)  # the largest share first

"""Which strategies fell below the unchanged network, counted on hand-made rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core.schema import Metric, Status
from reports.records import join
from reports.report import write_study
from reports.unchanged import falls, section
from tests.support import report_samples as samples

BEFORE = {"linear_probe": 0.5, "freeze_most": 0.3, "full": 0.8, "scratch": 0.95}


def study(known: bool = True) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = samples.document()
    runs = samples.all_stored(document)
    if known:
        for planned, run in zip(document["plan"], runs, strict=True):
            run["metrics"][Metric.NCM_TEST_ACCURACY] = BEFORE[planned["strategy"]]
    return document, runs


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
    ("of an earlier version", [row("a", None, 0.1), row("a", 0.2, 0.1)], {"a": (1, 1)}),
    ("nothing but earlier versions", [row("a", None, 0.1)], {}),
    ("not finished", [row("a", 0.5, 0.1, status=Status.KILLED), row("b", 0.5, None)], {}),
    ("zero is known", [row("a", 0.0, 0.0), row("b", 0.1, 0.0)], {"b": (1, 1), "a": (0, 1)}),
]


@pytest.mark.parametrize(("what", "rows", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_runs_below_are_counted(what: str, rows: list[dict[str, Any]], wanted: dict[str, tuple[int, int]]) -> None:  # fmt: skip
    assert {fall.strategy: (fall.below, fall.runs) for fall in falls(rows)} == wanted
    assert [fall.strategy for fall in falls(rows)] == list(wanted)  # the largest share first


def test_the_report_names_them(tmp_path: Path) -> None:
    document, runs = study()
    text = (write_study(join(document, runs), "sample", tmp_path) / "report.md").read_text()
    assert "Fell below the unchanged network: `scratch` in 12 of 12 runs, `full` in" in text
    line = next(line for line in text.splitlines() if line.startswith("| `scratch` | 95.0 %"))
    assert line.count("3 of 3") == 4
    assert "Left out" not in text.split("## Before and after")[1].split("\n## ")[0]


def test_stores_of_earlier_versions_say_so(tmp_path: Path) -> None:
    document, runs = study(known=False)
    text = (write_study(join(document, runs), "sample", tmp_path) / "report.md").read_text()
    assert "It cannot be told: no stored run has the score of the unchanged network." in text
    document, runs = study()
    del runs[0]["metrics"][Metric.NCM_TEST_ACCURACY]
    found = section(join(document, runs).rows)
    assert found and found["missing"].startswith("Left out: 1 of 48 finished runs, stored without")


def test_none_fell_and_none_finished() -> None:
    found = section([row("a", 0.2, 0.6), row("b", 0.2, 0.2)])
    assert found and found["answer"] == "No strategy fell below the unchanged network in any of 2 runs."
    assert section([row("a", 0.2, 0.6, status=Status.RUNNING)]) is None

"""The ranking against a baseline, against plain computations."""

from __future__ import annotations

import math
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy import stats

from bench.core.schema import Metric, Status
from reports.analysis.ranking import rank

CONDITIONS = {
    ("fine", 10): "similar-small",
    ("fine", 200): "similar-large",
    ("glyph", 10): "dissimilar-small",
}
ACCURACY = {  # strategy -> condition -> by seed
    "full": {
        ("fine", 10): [0.70, 0.72, 0.68],
        ("fine", 200): [0.90, 0.91, 0.93],
        ("glyph", 10): [0.3, 0.28, 0.31],
    },
    "better": {
        ("fine", 10): [0.74, 0.77, 0.70],
        ("fine", 200): [0.90, 0.93, 0.95],
        ("glyph", 10): [0.33, 0.3, 0.3],
    },
    "worse": {
        ("fine", 10): [0.10, 0.12, 0.08],
        ("fine", 200): [0.80, 0.81, 0.83],
        ("glyph", 10): [0.2, 0.18, 0.21],
    },
}


def rows(**changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "dataset": dataset, "n_per_class": n, "backbone": "tiny", "seed": seed, "strategy": strategy,
            "cell": CONDITIONS[dataset, n], "status": Status.FINISHED, Metric.TEST_ACCURACY: accuracy,
            Metric.TRAIN_SECONDS: 3.0 if strategy == "better" else 2.0, Metric.PREPARE_SECONDS: 0.0,
        }
        for strategy, by_condition in ACCURACY.items()
        for (dataset, n), values in by_condition.items()
        for seed, accuracy in enumerate(values)
    ]  # fmt: skip


def test_ranking_is_the_mean_over_conditions_with_a_t_interval_over_seeds() -> None:
    ranked = rank("full", rows())
    assert [r.strategy for r in ranked] == ["better", "full", "worse"]
    by_seed = [fmean(ACCURACY["better"][c][s] - ACCURACY["full"][c][s] for c in CONDITIONS) for s in range(3)]
    low, high = stats.t.interval(0.95, 2, fmean(by_seed), stdev(by_seed) / sqrt(3))
    best = ranked[0]
    assert (best.interval.mean, best.interval.low, best.interval.high) == pytest.approx(
        (fmean(by_seed), low, high)
    )
    assert best.p == pytest.approx(stats.ttest_1samp(by_seed, 0).pvalue), "the larger of two, so taken once"
    assert ranked[2].p < best.p and math.isnan(ranked[1].p)
    assert best.by_cell["dissimilar-small"] == pytest.approx(fmean([0.03, 0.02, -0.01]))
    assert best.time == pytest.approx(1.5)
    assert ranked[1].interval.mean == ranked[1].interval.low == 0, "the baseline against itself"


def test_a_seed_that_lacks_a_condition_is_left_out_of_that_strategys_mean() -> None:
    found = rows()
    lost = next(r for r in found if r["strategy"] == "better" and r["seed"] == 1 and r["dataset"] == "glyph")
    lost["status"] = Status.DIVERGED
    best = next(r for r in rank("full", found) if r.strategy == "better")
    by_seed = [fmean(ACCURACY["better"][c][s] - ACCURACY["full"][c][s] for c in CONDITIONS) for s in (0, 2)]
    assert best.interval.n == 2 and best.interval.mean == pytest.approx(fmean(by_seed))


def test_seeds_that_happen_to_agree_prove_nothing() -> None:
    """Equal differences of two seeds, in multiples of .01: what rounding hides keeps the interval open."""
    found = [row for row in rows() if row["seed"] < 2]
    for row in found:
        row[Metric.TEST_ACCURACY] = {"full": 0.5, "better": 0.51, "worse": 0.3}[row["strategy"]] + 0.01 * row[
            "seed"
        ]
    (better,) = (r for r in rank("full", found) if r.strategy == "better")
    assert better.interval.mean == pytest.approx(0.01)
    assert better.interval.low < 0 < better.interval.high and better.p > 0.05


def test_no_ranking_without_a_baseline_or_with_two_strategies() -> None:
    assert rank(None, rows()) == []
    assert rank("full", [r for r in rows() if r["strategy"] != "worse"]) == []

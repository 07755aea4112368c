"""Which strategies are as good as the best: by hand, and how often the statements are wrong."""

from __future__ import annotations

import random

import pytest
from scipy import stats as scipy_stats

from bench.core.schema import Metric
from reports.analysis.stats import ALPHA
from reports.analysis.ties import Ties, ties
from reports.analysis.verdict import Cell, judge_cell

MARGIN = 0.01
SECONDS = {"rule": 40.0, "cheap": 1.0, "dear": 90.0, "bad": 5.0}


def rows(accuracies: dict[str, list[float]]) -> list[dict]:
    return [
        {
            "dataset": "d",
            "n_per_class": 10,
            "backbone": "b",
            "seed": seed,
            "cell": "similar-small",
            "strategy": strategy,
            "status": "finished",
            Metric.TEST_ACCURACY: value,
            Metric.TRAIN_SECONDS: SECONDS.get(strategy, 10.0),
            Metric.PREPARE_SECONDS: 0.0,
            Metric.PEAK_MEMORY: 100,
        }
        for strategy, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def drawn(draw: random.Random, effects: dict[str, float], seeds: int, sd: float = 0.01) -> list[dict]:
    return rows(
        {name: [0.6 + effect + draw.gauss(0, sd) for _ in range(seeds)] for name, effect in effects.items()}
    )


def judged(found: list[dict]) -> Cell:
    return judge_cell("similar-small", found, "rule", MARGIN)


def found_ties(found: list[dict]) -> Ties:
    one = ties(found, judged(found), MARGIN)
    assert one is not None
    return one


def test_the_cheapest_that_is_shown_to_be_as_good_is_chosen() -> None:
    effects = {"rule": 0.0, "cheap": 0.0, "dear": 0.001, "bad": -0.2}
    found = found_ties(drawn(random.Random(1), effects, seeds=30, sd=0.004))
    assert (found.choice, found.shown) == ("cheap", True)
    assert found.of("cheap").loses_at_most < MARGIN and not found.of("bad").tied
    assert found.of("bad").loses_at_most > 0.19


def test_where_nothing_is_shown_the_cheapest_that_may_be_the_best_is_named_as_such() -> None:
    effects = {"rule": 0.0, "cheap": 0.0, "dear": 0.0, "bad": -0.3}
    found = found_ties(drawn(random.Random(2), effects, seeds=3, sd=0.02))
    assert not found.shown and found.choice in found.tied
    assert found.of(found.choice).behind <= MARGIN < found.of(found.choice).loses_at_most


def test_a_clear_best_is_alone() -> None:
    found = found_ties(
        drawn(random.Random(3), {"rule": 0.0, "cheap": -0.1, "dear": 0.2, "bad": -0.2}, seeds=8)
    )
    assert found.tied == ["dear"] == [found.best] == [found.choice] and found.shown


def test_bounds_are_those_of_paired_t_tests() -> None:
    draw = random.Random(4)
    values = {name: [0.6 + draw.gauss(0, 0.01) for _ in range(6)] for name in SECONDS}
    found = found_ties(rows(values))
    for one in found.standings:
        # the rule's pick is fixed beforehand; the three others are picked by what is seen
        level = 2 * ALPHA / (1 if one.strategy == "rule" else 3)
        others = [values[k] for k in values if k != one.strategy]
        tests = [scipy_stats.ttest_rel(other, values[one.strategy]) for other in others]
        high = max(test.confidence_interval(1 - level).high for test in tests)
        assert one.loses_at_most == pytest.approx(high)


def test_a_dropped_alternative_is_compared_by_way_of_the_rules_pick() -> None:
    """With three seeds of its own it would tie with everything; against the rule's pick it was shown to be bad."""
    draw = random.Random(5)
    effects = {"rule": 0.0, "cheap": -0.3, "dear": 0.02}
    all_rows = drawn(draw, effects, seeds=12)
    seen = [row for row in all_rows if row["strategy"] != "cheap" or row["seed"] < 3]
    early = judge_cell("similar-small", [row for row in seen if row["seed"] < 3], "rule", MARGIN, level=0.003)
    dropped = {c.strategy: c for c in early.comparisons if c.strategy == "cheap"}
    cell = judge_cell("similar-small", seen, "rule", MARGIN, level=0.01, dropped=dropped)
    found = ties(seen, cell, MARGIN, dropped)
    assert found is not None and "cheap" not in found.tied and found.choice == "dear"
    assert found.of("dear").loses_at_most < 0.03


@pytest.mark.parametrize("seeds", [3, 8])
def test_statements_are_wrong_no_more_often_than_said(seeds: int) -> None:
    """The truly best is among the tied; no strategy loses more than is said. Five strategies, one better by a point."""
    draw, missed, beyond, cells = random.Random(6), 0, 0, 400
    effects = {"rule": 0.0, "a": 0.01, "b": 0.0, "c": -0.01, "d": 0.005}
    for _ in range(cells):
        found = found_ties(drawn(draw, effects, seeds))
        missed += "a" not in found.tied
        beyond += any(one.loses_at_most < 0.01 - effects[one.strategy] - 1e-12 for one in found.standings)
    upper = scipy_stats.binomtest(max(missed, beyond), cells).proportion_ci(0.98)
    assert upper.low <= ALPHA, (missed, beyond)


def test_one_strategy_is_no_tie() -> None:
    found = rows({"rule": [0.5, 0.6, 0.7]})
    assert ties(found, judged(found), MARGIN) is None

"""Friedman's test and the critical difference, against tables, hand computations and simulation."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from bench.core.schema import Metric, Status
from reports.analysis.ranks import (
    Ranks,
    TooFew,
    critical_difference,
    groups,
    iman_davenport,
    mean_ranks,
    rank_test,
)


def rows(table: list[list[float]], seeds: int = 1) -> list[dict]:
    """[conditions][strategies] as rows; strategies a, b, c ..."""
    return [
        {
            "dataset": f"d{i}", "n_per_class": 10, "backbone": "b", "cell": "similar-small", "seed": seed,
            "strategy": "abcdefgh"[j], "status": Status.FINISHED, Metric.TEST_ACCURACY: value,
        }
        for i, line in enumerate(table) for j, value in enumerate(line) for seed in range(seeds)
    ]  # fmt: skip


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_difference_agrees_with_demsars_table(k: int, q: float) -> None:
    assert critical_difference(k, 10) == pytest.approx(q * (k * (k + 1) / 60) ** 0.5, abs=1e-3)


def test_mean_ranks_share_ties() -> None:
    assert mean_ranks([[0.9, 0.8, 0.7], [0.5, 0.5, 0.6]]) == [1.75, 2.25, 2.0]


def test_iman_davenport_by_hand() -> None:
    # ranks 123 123 123 132 213: sums 6 10 14; chi2 = 12 / (5 3 4) 332 - 3 5 4 = 6.4; F = 4 6.4 / (10 - 6.4)
    table = [[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, 1, 2], [2, 3, 1]]
    statistic, p = iman_davenport(table)
    assert statistic == pytest.approx(4 * 6.4 / 3.6) and p == pytest.approx(stats.f.sf(statistic, 2, 8))
    assert iman_davenport([[1, 1, 1]] * 5) == (0.0, 1.0)
    assert iman_davenport([[3, 2, 1]] * 5)[1] == 0.0


def test_the_rank_test_holds_its_level_with_few_conditions() -> None:
    draw = random.Random(1)
    ps = [iman_davenport([[draw.random() for _ in range(8)] for _ in range(6)])[1] for _ in range(1000)]
    assert 0.03 < sum(p <= 0.05 for p in ps) / 1000 <= 0.065


def test_groups_are_maximal() -> None:
    assert groups({"a": 1.0, "b": 2.0, "c": 3.0, "d": 6.0}, 2.0) == [["a", "b", "c"]]
    assert groups({"a": 1.0, "b": 2.0, "c": 3.5}, 1.6) == [["a", "b"], ["b", "c"]]
    assert groups({"a": 1.0, "b": 2.0}, 0.5) == []


def test_ranks_of_a_study() -> None:
    found = rank_test(rows([[0.9, 0.8, 0.7]] * 6, seeds=2))
    assert isinstance(found, Ranks)
    assert found.ranks == {"a": 1.0, "b": 2.0, "c": 3.0} and (found.conditions, found.seeds) == (6, 2)
    assert found.groups == [["a", "b"], ["b", "c"]], "the critical difference of 3 over 6 is 1.35"


def test_too_little_says_what_there_is() -> None:
    assert rank_test(rows([[0.9, 0.8, 0.7]] * 4)) == TooFew(conditions=4, strategies=3)
    assert rank_test([]) == TooFew(conditions=0, strategies=0)


def test_only_complete_conditions_and_strategies_take_part() -> None:
    table = rows([[0.9, 0.8, 0.7, 0.6]] * 7, seeds=2)
    lost = [r for r in table if r["strategy"] == "d" and r["dataset"] == "d0"]
    lost += [r for r in table if (r["strategy"], r["dataset"], r["seed"]) in {("a", "d1", 0), ("b", "d1", 1)}]
    for r in lost:
        r["status"] = Status.DIVERGED
    found = rank_test(table)
    assert isinstance(found, Ranks)
    assert found.left_out == ["d"] and list(found.ranks) == ["a", "b", "c"]
    assert found.conditions == 6, "in d1 no seed is shared"

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from scipy import stats as scipy_stats

from reports.power import blocks_to_settle
from reports.stats import Comparison, blocks, mean_of, rounding_sd, simultaneous
from reports.verdict import Verdict, judge_cell, worse_than

STRATEGIES = ["rule", "a", "b", "c", "d", "e"]


def cell(accuracies: dict[str, Sequence[float | None]]) -> list[dict]:
    """Rows of one dataset; a strategy's list is over seeds, None: not finished."""
    return [
        {
            "dataset": "d",
            "n_per_class": 10,
            "backbone": "b",
            "seed": seed,
            "strategy": strategy,
            "status": "failed" if value is None else "finished",
            "test_accuracy": value,
            "train_seconds": None,
        }
        for strategy, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def test_paired_interval_agrees_with_scipy() -> None:
    draw = random.Random(1)
    a, b = ([draw.gauss(0.5, 0.1) for _ in range(7)] for _ in range(2))
    (found,) = simultaneous(blocks(cell({"rule": a, "b": b})), "rule", ["b"])
    reference = scipy_stats.ttest_rel(b, a)
    low, high = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean / found.se == pytest.approx(reference.statistic)


def test_simultaneous_level_is_bonferronis() -> None:
    draw = random.Random(2)
    accuracies = {name: [draw.gauss(0.5, 0.1) for _ in range(5)] for name in STRATEGIES}
    found = simultaneous(blocks(cell(accuracies)), "rule", STRATEGIES[1:])
    for comparison in found:
        reference = scipy_stats.ttest_rel(accuracies[comparison.strategy], accuracies["rule"])
        assert (comparison.low, comparison.high) == pytest.approx(reference.confidence_interval(1 - 0.05 / 5))


def test_hand_values() -> None:
    # differences .02, .04, .06: mean .04, sd .02, t(.975, 2) = 4.302653
    (found,) = simultaneous(blocks(cell({"rule": [0.5, 0.6, 0.7], "b": [0.52, 0.64, 0.76]})), "rule", ["b"])
    assert (found.n, found.mean) == (3, pytest.approx(0.04))
    assert found.high - found.mean == pytest.approx(4.302653 * 0.02 / math.sqrt(3), abs=1e-7)


def test_only_common_blocks_count() -> None:
    found = simultaneous(blocks(cell({"rule": [0.5, 0.6, None], "b": [None, 0.7, 0.8]})), "rule", ["b"])
    assert [c.n for c in found] == [1]
    assert (found[0].low, found[0].high) == (-math.inf, math.inf)


def test_few_values() -> None:
    assert math.isnan(mean_of([]).mean)
    assert mean_of([0.5]).mean == 0.5 and math.isnan(mean_of([0.5]).se)


def test_equal_differences_prove_nothing_beyond_rounding() -> None:
    # a test set of 100 images: both seeds differ by two images, by chance
    rows = cell({"rule": [0.50, 0.55], "b": [0.52, 0.57]})
    assert rounding_sd(blocks(rows)) == pytest.approx(0.01 / math.sqrt(6))
    (found,) = simultaneous(blocks(rows), "rule", ["b"])
    assert found.low < 0 < found.mean < found.high
    assert judge_cell("similar-small", rows, "rule", 0.01).verdict == Verdict.UNDECIDED


def test_noise_of_32_bit_accuracies_is_no_step() -> None:
    rows = cell({"rule": [0.50, 0.55], "b": [0.52000002, 0.52]})
    assert rounding_sd(blocks(rows)) == pytest.approx(0.01 / math.sqrt(6))


def test_all_equal_supports_the_rule() -> None:
    found = judge_cell("similar-small", cell({"rule": [1.0] * 3, "b": [1.0] * 3}), "rule", 0.01)
    assert (found.verdict, found.regret, found.regret_high) == (Verdict.SUPPORTED, 0.0, 0.0)


def test_worse_than_scratch() -> None:
    rows = cell(
        {
            "scratch": [0.50, 0.61, 0.70, 0.58],
            "probe": [0.40, 0.50, 0.60, 0.49],
            "full": [0.5, 0.6, 0.71, 0.58],
        }
    )
    assert [c.strategy for c in worse_than(blocks(rows), "scratch", ["scratch", "probe", "full"])] == [
        "probe"
    ]
    assert worse_than(blocks(rows), None, ["probe"]) == []


def simulated(draw: random.Random, effects: dict[str, float], n: int = 5) -> list[dict]:
    block = [draw.gauss(0.6, 0.05) for _ in range(n)]
    return cell({name: [b + effect + draw.gauss(0, 0.01) for b in block] for name, effect in effects.items()})


def test_under_the_null_contradicted_is_rare() -> None:
    """All equal: picking the luckiest of five must not make it a winner (margin 0: the hardest case)."""
    draw = random.Random(3)
    cells = [
        judge_cell("x", simulated(draw, dict.fromkeys(STRATEGIES, 0.0)), "rule", 0.0) for _ in range(2000)
    ]
    assert sum(c.verdict == Verdict.CONTRADICTED for c in cells) / 2000 <= 0.05


def test_under_the_null_with_two_seeds_and_a_small_test_set() -> None:
    """Differences that agree by chance, common with 100 test images, must not pass for certainty."""
    draw = random.Random(6)
    rows = (simulated(draw, dict.fromkeys(STRATEGIES, 0.0), n=2) for _ in range(1000))
    coarse = ([row | {"test_accuracy": round(row["test_accuracy"], 2)} for row in found] for found in rows)
    cells = [judge_cell("x", found, "rule", 0.0) for found in coarse]
    assert sum(c.verdict == Verdict.CONTRADICTED for c in cells) / 1000 <= 0.05


def test_regret_bounds_cover_the_true_regret() -> None:
    draw = random.Random(4)
    effects = {"rule": 0.0, "a": 0.005, "b": 0.01, "c": -0.01, "d": 0.008, "e": 0.01}
    cells = [judge_cell("x", simulated(draw, effects), "rule", 0.01) for _ in range(1000)]
    assert sum(c.regret_low <= 0.01 <= c.regret_high for c in cells) / 1000 >= 0.95


def test_a_clear_winner_is_found() -> None:
    draw = random.Random(5)
    effects = dict.fromkeys(STRATEGIES, 0.0) | {"c": 0.08}
    cells = [judge_cell("x", simulated(draw, effects), "rule", 0.01) for _ in range(200)]
    assert sum(c.verdict == Verdict.CONTRADICTED and c.best == "c" for c in cells) / 200 > 0.9


def test_blocks_to_settle() -> None:
    def against(mean: float, sd: float, n: int = 4) -> Comparison:
        return Comparison("x", "rule", n, mean, sd / math.sqrt(n), -1.0, 1.0)

    # half-width at n blocks, two alternatives: t(1 - .0125, n - 1) sd / sqrt(n)
    def half(n: int, sd: float) -> float:
        return scipy_stats.t.ppf(1 - 0.025 / 2, n - 1) * sd / math.sqrt(n)

    support = blocks_to_settle([against(0.002, 0.02), against(-0.05, 0.02)], margin=0.01)
    assert half(support, 0.02) < 0.008 <= half(support - 1, 0.02)
    contradict = blocks_to_settle([against(0.02, 0.02), against(0.002, 0.02)], margin=0.01)
    assert half(contradict, 0.02) < 0.02 <= half(contradict - 1, 0.02)
    assert blocks_to_settle([against(0.0099, 0.1)], margin=0.01) is None
    assert blocks_to_settle([against(0.02, 0.02), against(math.nan, math.nan, n=1)], margin=0.01) is None

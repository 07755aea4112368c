from __future__ import annotations

import math
import random
from statistics import fmean, pvariance

import pytest
from scipy import stats as scipy_stats

from reports.analysis.bootstrap import FEWEST_SEEDS, over_datasets, over_seeds, resampled
from reports.analysis.negative_transfer import worse_than
from reports.analysis.power import CHANCE, needed
from reports.analysis.stats import ALPHA, Comparison, compare, holm, mean_of
from reports.analysis.units import pairs, rounding_sd, units
from reports.analysis.verdict import Reason, Verdict, judge_cell
from tests.support.cell_rows import rows as cell

STRATEGIES = ["rule", "a", "b", "c", "d", "e"]


def test_paired_interval_agrees_with_scipy() -> None:
    draw = random.Random(1)
    a, b = ([draw.gauss(0.5, 0.1) for _ in range(7)] for _ in range(2))
    (found,) = compare(units(cell({"rule": a, "b": b})), "rule", ["b"])
    reference = scipy_stats.ttest_rel(b, a)
    low, high = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean / found.se == pytest.approx(reference.statistic)


def test_simultaneous_level_is_bonferronis() -> None:
    draw = random.Random(2)
    accuracies = {name: [draw.gauss(0.5, 0.1) for _ in range(5)] for name in STRATEGIES}
    found = compare(units(cell(accuracies)), "rule", STRATEGIES[1:])
    for comparison in found:
        reference = scipy_stats.ttest_rel(accuracies[comparison.strategy], accuracies["rule"])
        assert (comparison.low, comparison.high) == pytest.approx(reference.confidence_interval(1 - 0.05 / 5))


def test_hand_values() -> None:
    # differences .02, .04, .06: mean .04, sd .02, t(.975, 2) = 4.302653
    (found,) = compare(units(cell({"rule": [0.5, 0.6, 0.7], "b": [0.52, 0.64, 0.76]})), "rule", ["b"])
    assert (found.n, found.mean) == (3, pytest.approx(0.04))
    assert found.high - found.mean == pytest.approx(4.302653 * 0.02 / math.sqrt(3), abs=1e-7)


def row(dataset: str, n: int, seed: int, strategy: str, value: float) -> dict:
    return cell({strategy: [value]})[0] | {"dataset": dataset, "n_per_class": n, "seed": seed}


def test_sizes_of_a_seed_count_once() -> None:
    """Hand values: seed 0 differs by (.02 + .04) / 2, seed 1 by (.06 + .04) / 2; two values, not four."""
    values = {(10, 0): 0.02, (50, 0): 0.04, (10, 1): 0.06, (50, 1): 0.04}
    rows = [row("d", n, seed, "rule", 0.5) for n, seed in values]
    rows += [row("d", n, seed, "b", 0.5 + value) for (n, seed), value in values.items()]
    (found,) = compare(units(rows), "rule", ["b"])
    assert (found.n, found.mean, found.se) == (2, pytest.approx(0.04), pytest.approx(0.01))


def test_a_unit_that_lacks_a_size_is_left_out() -> None:
    rows = [row("d", n, seed, s, 0.1) for n in (10, 50) for seed in range(3) for s in ("rule", "b")]
    rows = [r for r in rows if (r["n_per_class"], r["seed"], r["strategy"]) != (50, 2, "b")]
    assert set(pairs(units(rows), "b", "rule")) == {("d", 0), ("d", 1)}
    rows = [r for r in rows if (r["n_per_class"], r["strategy"]) != (50, "b")]
    assert len(pairs(units(rows), "b", "rule")) == 3, "a size it never has is no reason to leave all out"


def test_an_alternative_that_lacks_a_size_of_the_rules_pick_is_not_known() -> None:
    """Its difference over one size would stand beside others over both."""
    rows = [
        row("d", n, seed, s, 0.5 + 0.01 * seed) for n in (10, 50) for seed in range(5) for s in ("rule", "b")
    ]
    (found,) = compare(units(rows), "rule", ["b"])
    assert found.known
    (found,) = compare(
        units([r for r in rows if (r["n_per_class"], r["strategy"]) != (50, "b")]), "rule", ["b"]
    )
    assert not found.known and found.n == 5


def test_datasets_weigh_equally_in_an_unfinished_study() -> None:
    """+.04 on one dataset with six seeds, -.04 on another with two: 0, not +.02."""
    found = [("d", seed, 0.04) for seed in range(6)] + [("e", seed, -0.04) for seed in (4, 5)]
    rows = [row(d, 10, seed, "rule", 0.5) for d, seed, _ in found]
    rows += [row(d, 10, seed, "b", 0.5 + value) for d, seed, value in found]
    (compared,) = compare(units(rows), "rule", ["b"])
    assert (compared.n, compared.datasets, compared.mean) == (2, 2, pytest.approx(0.0))


def test_an_alternative_that_lacks_a_dataset_is_not_known() -> None:
    rows = [row(d, 10, seed, s, 0.1 * seed) for d in "de" for seed in range(3) for s in ("rule", "b")]
    (found,) = compare(units(rows), "rule", ["b"])
    assert (found.n, found.datasets, found.known) == (3, 2, True)
    rows = [r for r in rows if (r["dataset"], r["strategy"]) != ("e", "b")]
    (found,) = compare(units(rows), "rule", ["b"])
    assert (found.n, found.datasets, found.known) == (3, 1, False)
    judged = judge_cell("similar-small", rows, "rule", 0.01)
    assert (judged.verdict, judged.why) == (Verdict.UNTESTED, Reason.NOT_COVERED)


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, then the running maximum
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize("df", [1, 2, 3.7, 40])
def test_quantiles_far_out_agree_with_scipys_distribution(df: float) -> None:
    from reports.analysis.stats import t_quantile

    for p in (0.8, 0.975, 1 - 0.025 / 14):
        assert t_quantile(df, p) == pytest.approx(scipy_stats.t.ppf(p, df), rel=1e-9)


def test_p_is_holms_of_one_sided_paired_t_tests() -> None:
    draw = random.Random(7)
    values = {name: [draw.gauss(0.5, 0.1) for _ in range(5)] for name in STRATEGIES}
    found = compare(units(cell(values)), "rule", STRATEGIES[1:])
    ps = [
        scipy_stats.ttest_rel(values[s], values["rule"], alternative="greater").pvalue for s in STRATEGIES[1:]
    ]
    assert [c.p for c in found] == pytest.approx(holm(ps))
    own = scipy_stats.ttest_rel(values["a"], values["rule"]).confidence_interval(0.95)
    assert (found[0].own_low, found[0].own_high) == pytest.approx((own.low, own.high))


def test_supported_needs_no_correction_and_agrees_with_the_regrets_bound() -> None:
    """Each alternative by itself is surely below the margin; all of them together would not be, by Bonferroni."""
    worse = {name: [0.482, 0.500, 0.512] for name in STRATEGIES[1:]}
    found = judge_cell("x", cell({"rule": [0.50, 0.51, 0.52], **worse}), "rule", 0.01)
    assert all(c.high > 0.01 > c.own_high for c in found.comparisons)
    assert found.verdict == Verdict.SUPPORTED and found.regret_high < 0.01


def test_bootstrap_over_seeds_comes_near_students_interval_where_it_is_shown() -> None:
    draw = random.Random(8)
    values = [draw.gauss(0.0, 1.0) for _ in range(200)]
    mean = mean_of(values)
    assert over_seeds(values) == pytest.approx((mean.low, mean.high), abs=0.02)
    assert over_seeds([0.5] * FEWEST_SEEDS) == (0.5, 0.5)


def test_hierarchical_bootstrap_by_enumeration() -> None:
    """Two datasets of one seed each: the mean of two draws is 0, 1 or 2 with 1/4, 1/2, 1/4; constant within."""
    assert over_datasets({("d", 0): 0.0, ("e", 0): 2.0}) == (0.0, 2.0)
    values = {("d", 0): 1.0, ("d", 1): 3.0}  # one dataset: all draws of two from (1, 3)
    assert over_datasets(values) == (1.0, 3.0)


def test_hierarchical_bootstrap_has_the_spread_of_its_two_stages() -> None:
    """Its variance is, exactly: between / K + within / (K n), both with divisors K and n (normal: 1.96 sd)."""
    draw = random.Random(9)
    sets, seeds = 12, 10
    shift = [draw.gauss(0, 2) for _ in range(sets)]
    found = {(f"d{k}", s): shift[k] + draw.gauss(0, 1) for k in range(sets) for s in range(seeds)}
    by = [[found[f"d{k}", s] for s in range(seeds)] for k in range(sets)]
    within = fmean(pvariance(values) for values in by) / (sets * seeds)
    sd = math.sqrt(pvariance([fmean(values) for values in by]) / sets + within)
    low, high = over_datasets(found, 20_000)
    assert high - low == pytest.approx(2 * 1.96 * sd, rel=0.03)


def test_bootstraps_are_shown_only_where_they_can_be_trusted() -> None:
    draw = random.Random(10)

    def shown(datasets: str, seeds: int) -> list:
        rows = [
            row(d, 10, i, s, draw.gauss(0.5, 0.02))
            for d in datasets
            for i in range(seeds)
            for s in ("rule", "b")
        ]
        return resampled(rows, judge_cell("similar-small", rows, "rule", 0.01))

    assert not shown("d", FEWEST_SEEDS - 1) and not shown("de", 30)
    (one,) = shown("d", FEWEST_SEEDS)
    assert (one.datasets, one.n) == (1, FEWEST_SEEDS) and math.isnan(one.like.low)
    (three,) = shown("def", 4)
    assert three.like.n == 3 and three.bootstrap[0] < three.mean < three.bootstrap[1]


def test_only_common_blocks_count() -> None:
    found = compare(units(cell({"rule": [0.5, 0.6, None], "b": [None, 0.7, 0.8]})), "rule", ["b"])
    assert [c.n for c in found] == [1]
    assert (found[0].low, found[0].high) == (-math.inf, math.inf)


def test_few_values() -> None:
    assert math.isnan(mean_of([]).mean)
    assert mean_of([0.5]).mean == 0.5 and math.isnan(mean_of([0.5]).se)


def test_equal_differences_prove_nothing_beyond_rounding() -> None:
    # a test set of 100 images: both seeds differ by two images, by chance
    rows = cell({"rule": [0.50, 0.55], "b": [0.52, 0.57]})
    assert rounding_sd(units(rows)) == pytest.approx(0.01 / math.sqrt(6))
    (found,) = compare(units(rows), "rule", ["b"])
    assert found.low < 0 < found.mean < found.high
    assert judge_cell("similar-small", rows, "rule", 0.01).verdict == Verdict.UNDECIDED


def test_noise_of_32_bit_accuracies_is_no_step() -> None:
    rows = cell({"rule": [0.50, 0.55], "b": [0.52000002, 0.52]})
    assert rounding_sd(units(rows)) == pytest.approx(0.01 / math.sqrt(6))


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
    assert [c.strategy for c in worse_than(units(rows), "scratch", ["scratch", "probe", "full"])] == ["probe"]
    assert worse_than(units(rows), None, ["probe"]) == []


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


def test_seeds_needed() -> None:
    def against(mean: float, sd: float, n: int = 4) -> Comparison:
        return Comparison("x", "rule", n, mean, sd / math.sqrt(n), -1.0, 1.0, -1.0, 1.0)

    # what n seeds leave to chance: (t of the level + t of 80 %) sd / sqrt(n)
    def room(n: int, sd: float, alpha: float) -> float:
        t = scipy_stats.t(n - 1)
        return (t.ppf(1 - alpha) + t.ppf(CHANCE)) * sd / math.sqrt(n)

    def seeds(found: list[Comparison], level: float = ALPHA) -> float:
        return needed(found, 0.01, level, len(found))

    support = seeds([against(0.002, 0.02), against(-0.05, 0.02)])
    assert room(support, 0.02, ALPHA) < 0.008 <= room(support - 1, 0.02, ALPHA)
    contradict = seeds([against(0.02, 0.02), against(0.002, 0.02)])
    assert room(contradict, 0.02, ALPHA / 2) < 0.02 <= room(contradict - 1, 0.02, ALPHA / 2)
    early = seeds([against(0.02, 0.02), against(0.002, 0.02)], ALPHA / 10)
    assert room(early, 0.02, ALPHA / 20) < 0.02 <= room(early - 1, 0.02, ALPHA / 20)
    assert seeds([against(0.0099, 0.1)]) == math.inf
    unknown = Comparison("y", "rule", 1, math.nan)
    assert seeds([against(0.0, 0.02), unknown]) == math.inf
    assert seeds([against(0.02, 0.02), unknown]) < math.inf, "one that is better is enough"


def test_the_seeds_named_settle_it_with_the_chance_named() -> None:
    """Studies of as many seeds as the guide names, with mean and spread as it was told them."""
    told = Comparison("a", "rule", 4, 0.02, 0.02 / 2, -1.0, 1.0, -1.0, 1.0)
    n = int(needed([told], 0.01, ALPHA, 1))
    draw, settled = random.Random(11), 0
    for _ in range(1000):
        differences = [draw.gauss(0.02, 0.02) for _ in range(n)]
        rows = cell({"rule": [0.5] * n, "a": [0.5 + value for value in differences]})
        settled += judge_cell("x", rows, "rule", 0.01).verdict == Verdict.CONTRADICTED
    assert CHANCE - 0.06 < settled / 1000 < CHANCE + 0.08

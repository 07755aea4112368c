"""Each dataset one observation: cross-fitted regret, shares, verdicts over datasets, the line through distances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.core.schema import CELLS
from reports.analysis.agreement import agreements
from reports.analysis.over_datasets import average_seeds, cells_over, cross_fitted, share
from reports.analysis.slope import fit
from reports.analysis.verdict import Verdict
from tests.support import simulated_evidence as simulated

MARGIN = 0.01


def test_the_cross_fitted_regret_picks_on_other_seeds_than_it_judges_by() -> None:
    accuracies = {"rule": {0: 0.5, 1: 0.5}, "a": {0: 0.9, 1: 0.1}, "b": {0: 0.1, 1: 0.8}}
    # on seed 0 the best by seed 1 is b (-.4); on seed 1 the best by seed 0 is a (-.4)
    assert cross_fitted(accuracies, "rule") == pytest.approx(-0.4)
    assert math.isnan(cross_fitted({"rule": {0: 0.5}, "a": {0: 0.9}}, "rule"))


def test_a_strategy_that_lacks_a_seed_of_the_rules_is_not_picked() -> None:
    accuracies = {"rule": {0: 0.5, 1: 0.5}, "a": {0: 0.9}}
    assert cross_fitted(accuracies, "rule") == 0


def test_where_all_strategies_are_equal_it_is_zero_on_average_and_the_plain_regret_is_not() -> None:
    rng = np.random.default_rng(0)
    plain, crossed = [], []
    for _ in range(400):
        values = rng.normal(0.5, 0.02, (8, 3))
        accuracies = {str(i): dict(enumerate(own)) for i, own in enumerate(values)}
        crossed.append(cross_fitted(accuracies, "0"))
        plain.append(values.mean(axis=1).max() - values[0].mean())
    standard_error = np.std(crossed) / 20
    assert abs(np.mean(crossed)) < 3 * standard_error < 0.004
    assert np.mean(plain) > 0.01


def test_datasets_take_the_place_of_seeds() -> None:
    _, rows = simulated.study(simulated.PLANTED, datasets=8, noise=0.002)
    found = {over.cell.name: over for over in cells_over(rows, simulated.RULE, MARGIN, CELLS)}
    assert {over.cell.n_units for over in found.values()} == {4}
    verdicts = {name: over.cell.verdict for name, over in found.items()}
    assert verdicts == {
        "similar-small": Verdict.SUPPORTED,
        "similar-large": Verdict.CONTRADICTED,
        "dissimilar-small": Verdict.CONTRADICTED,
        "dissimilar-large": Verdict.CONTRADICTED,
    }
    wrong = found["similar-large"]
    assert (wrong.above.k, wrong.above.n) == (4, 4)
    assert np.mean([one.lost for one in wrong.regrets]) == pytest.approx(0.05, abs=0.005)
    assert wrong.ties is not None and wrong.ties.choice == "l2_sp"


def test_more_seeds_of_a_dataset_are_no_more_datasets() -> None:
    """Datasets differ by 5 points, runs by nothing: whatever the seeds, four datasets are four observations."""
    widths = []
    _, rows = simulated.study({}, datasets=8, seeds=2, noise=0.0, between=0.05)
    more = [row | {"seed": row["seed"] + 2 * k} for k in range(6) for row in rows]
    for own in (rows, more):
        over = next(iter(cells_over(own, simulated.RULE, MARGIN, CELLS)))
        widths.append(over.cell.comparisons[0].own_high - over.cell.comparisons[0].own_low)
        assert over.cell.verdict == Verdict.UNDECIDED
    assert widths[0] == pytest.approx(widths[1])


def test_the_mean_over_seeds_is_of_finished_runs_and_settings_stay_apart() -> None:
    _, rows = simulated.study({}, datasets=1, sizes=(10,), seeds=2, noise=0.01)
    rows[0] = rows[0] | {"status": "failed"}
    other = [row | {"setting": "tuned"} for row in rows]
    averaged = average_seeds([*rows, *other])
    full = [row for row in averaged if row["strategy"] == "full"]
    assert {row["setting"] for row in full} == {"default", "tuned"}
    assert full[0]["test_accuracy"] == rows[1]["test_accuracy"]


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129), (0, 0, 0, 1)]
)
def test_the_share_has_its_exact_interval(k: int, n: int, low: float, high: float) -> None:
    found = share(k, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_the_line_is_that_of_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    xs = rng.uniform(0, 2, 12)
    ys = 0.3 - 0.2 * xs + rng.normal(0, 0.05, 12)
    line = fit(list(xs), list(ys))
    assert line is not None and line.shown
    other = stats.linregress(xs, ys)
    half = float(stats.t.ppf(0.975, 10)) * other.stderr
    assert (line.slope, line.intercept) == pytest.approx((other.slope, other.intercept))
    assert (line.low, line.high) == pytest.approx((other.slope - half, other.slope + half))
    assert line.crosses == pytest.approx(-other.intercept / other.slope)
    assert line.at(line.center)[1] == pytest.approx(float(stats.t.ppf(0.975, 10)) * line.sd / math.sqrt(12))


def test_no_line_through_three_points_or_through_one_place() -> None:
    assert fit([0, 1, 2], [0, 1, 2]) is None
    assert fit([1, 1, 1, 1], [0, 1, 2, 3]) is None
    assert fit([], []) is None


def test_networks_agree_with_themselves_and_not_with_their_opposite() -> None:
    _, rows = simulated.study(simulated.PLANTED, datasets=6, noise=0.0)
    same = [row | {"backbone": "other"} for row in rows]
    opposite = [row | {"backbone": "other", "test_accuracy": 1 - row["test_accuracy"]} for row in rows]
    alike = agreements([*rows, *same])
    assert [(one.a, one.b) for one in alike] == [("net", "other"), ("other", "net")]
    assert alike[0].correlation.mean == pytest.approx(1) and alike[0].lost.mean == pytest.approx(0)
    apart = agreements([*rows, *opposite])[0]
    assert apart.correlation.mean == pytest.approx(-1) and apart.lost.mean > 0.05
    assert agreements(rows) == []

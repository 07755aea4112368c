from __future__ import annotations

from dataclasses import replace
from math import asin, pi

import numpy as np
import pytest
from scipy.stats import spearmanr

from bench.core.schema import Measure
from bench.core.spec import PartSpec, StrategySpec
from reports.analysis.transferability import (
    SIZE,
    conditions,
    correlate,
    fisher,
    outcomes,
    predict,
)
from tests.support.report_studies import FULL, PROBE, SCRATCH, measured_study


def test_outcomes_are_the_plainest_strategies_in_pairs() -> None:
    document = measured_study(2).document
    more = StrategySpec(PartSpec("full"), (PartSpec("a"), PartSpec("b")), label="full + x")
    document = replace(document, strategies=(*document.strategies, more))
    asked = [(o.strategy, o.reference) for o in outcomes(document)]
    assert asked == [(PROBE, SCRATCH), (FULL, SCRATCH), (FULL, PROBE)]
    document = replace(document, strategies=tuple(s for s in document.strategies if s.label != SCRATCH))
    assert [(o.strategy, o.reference) for o in outcomes(document)] == [(FULL, PROBE)]


def test_conditions_hold_paired_means_over_common_seeds() -> None:
    made = measured_study(2)
    lost = next(
        r for r in made.rows if (r["dataset"], r["n_per_class"], r["strategy"]) == ("d0", 10, SCRATCH)
    )
    lost["test_accuracy"] = None
    first, second, *_ = conditions(made.document, made.rows)
    seeds = {
        row["strategy"]: row["test_accuracy"]
        for row in made.rows
        if (row["dataset"], row["n_per_class"], row["seed"]) == ("d0", 10, 1)
    }
    assert first.outcomes[0] == pytest.approx(seeds[PROBE] - seeds[SCRATCH])
    assert (second.dataset, second.n_per_class) == ("d0", 100)
    assert second.outcomes[2] == pytest.approx(0.22, abs=0.01)


def test_distances_are_negated_and_the_size_stands_beside_the_measures() -> None:
    made = measured_study(6)
    found = predict(conditions(made.document, made.rows), 0)
    assert [p.measure for p in found] == [Measure.FRECHET_STEM, Measure.LOGME, SIZE]
    stem, logme, size = found
    assert stem.n == 12 and stem.correlation == pytest.approx(logme.correlation) and stem.correlation > 0.5
    assert stem.shown and not size.shown


@pytest.mark.parametrize("n", [5, 12])
def test_the_correlation_is_spearman_s_within_its_interval(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n), rng.integers(0, 4, n).astype(float)  # with ties
    r, low, high = correlate(x, y, [f"d{i}" for i in range(n)])
    assert r == pytest.approx(spearmanr(x, y).statistic) and -1 <= low < r < high <= 1
    assert correlate(x, np.ones(n), ["d"] * n)[0] is None


def test_a_perfect_order_of_few_conditions_proves_nothing() -> None:
    """Its bootstrap has no width: of 4 conditions 1 order in 12 is perfect."""
    x = np.arange(4.0)
    r, low, high = correlate(x, x, ["a", "b", "c", "d"])
    assert r == 1 == high and low < 0
    assert correlate(np.arange(12.0), np.arange(12.0), list("abcdefghijkl"))[1] > 0.5


def test_sizes_of_one_dataset_are_no_independent_evidence() -> None:
    """Each dataset three times over: the interval over datasets is wider than over as many independent conditions."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=6), rng.normal(size=6)
    y = y + 0.8 * x
    together = correlate(np.repeat(x, 3), np.repeat(y, 3), np.repeat(list("abcdef"), 3).tolist())
    apart = correlate(np.repeat(x, 3), np.repeat(y, 3), [str(i) for i in range(18)])
    assert together[0] == apart[0] and together[2] - together[1] > 1.2 * (apart[2] - apart[1])


@pytest.mark.parametrize("n", [4, 6, 12, 30])
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_intervals_keep_their_level(n: int, rho: float) -> None:
    """Of 1,500 simulated studies at most 6 % have an interval (of Fisher's alone: the hull is wider) off the truth."""
    rng = np.random.default_rng(n)
    truth = 6 / pi * asin(rho / 2)  # Spearman's, of normal pairs
    x = rng.normal(size=(1500, n))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=x.shape)
    ranks = [z.argsort(1).argsort(1) - (n - 1) / 2 for z in (x, y)]
    found = (ranks[0] * ranks[1]).sum(1) / (ranks[0] ** 2).sum(1)
    off = [not low <= truth <= high for low, high in (fisher(float(r), n) for r in found)]
    assert np.mean(off) <= 0.06

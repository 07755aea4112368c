"""Intervals over seeds and test images against hand computations and their rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports.analysis.crossed import crossed


def drawn(seeds: int, images: int, of_seed: float, of_image: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    rest = draw.standard_normal((seeds, images))
    return (
        of_seed * draw.standard_normal((seeds, 1)) + of_image * draw.standard_normal((1, images)) + rest + 0.1
    )


def test_it_is_the_two_way_table_of_a_textbook() -> None:
    """Mean squares, variance and degrees of freedom, each written out."""
    d = drawn(4, 30, 0.5, 1.0)
    s, i = d.shape
    ms_seed = i * d.mean(axis=1).var(ddof=1)
    ms_image = s * d.mean(axis=0).var(ddof=1)
    total = np.square(d - d.mean()).sum()
    ms_rest = (total - (s - 1) * ms_seed - (i - 1) * ms_image) / ((s - 1) * (i - 1))
    variance = (ms_seed + ms_image - ms_rest) / (s * i)
    assert ms_image > ms_rest
    df = (variance * s * i) ** 2 / (
        ms_seed**2 / (s - 1) + ms_image**2 / (i - 1) + ms_rest**2 / ((s - 1) * (i - 1))
    )
    # of the seeds' part, which is not a difference, the uncertainty is its own
    half = max(
        stats.t.ppf(0.975, df) * math.sqrt(variance), stats.t.ppf(0.975, s - 1) * math.sqrt(ms_seed / (s * i))
    )
    found = crossed([d])
    assert found.mean == pytest.approx(d.mean()) and (found.seeds, found.images) == (4, 30)
    assert found.over_both[1] - found.mean == pytest.approx(half, rel=1e-9)
    assert found.over_seeds == pytest.approx(
        stats.t.interval(0.95, s - 1, d.mean(), stats.sem(d.mean(axis=1)))
    )


@pytest.mark.parametrize("seed", range(20))
def test_it_is_never_narrower_than_over_seeds(seed: int) -> None:
    for of_image in (0.0, 0.3, 3.0):
        found = crossed([drawn(3, 40, 0.2, of_image, seed)])
        assert found.over_both[0] <= found.over_seeds[0] and found.over_both[1] >= found.over_seeds[1]


def test_images_of_several_datasets_add_up_and_seeds_count_by_their_mean() -> None:
    """The same noise of a seed on both datasets does not average out; that of their images does."""
    shared = drawn(5, 60, 2.0, 0.0)
    twice = crossed([shared, shared])
    assert twice.over_seeds == pytest.approx(crossed([shared]).over_seeds)
    apart = [np.repeat(drawn(1, 400, 0.0, 1.0, seed), 3, axis=0) for seed in (1, 2)]  # no chance in seeds
    one, both = crossed(apart[:1]), crossed(apart)
    width = (both.over_both[1] - both.mean) / (one.over_both[1] - one.mean)
    assert width == pytest.approx(1 / math.sqrt(2), rel=0.1) and both.datasets == 2 and both.images == 800
    assert both.over_seeds[1] - both.over_seeds[0] < 0.1 * (both.over_both[1] - both.over_both[0])


def test_without_seeds_or_differences() -> None:
    one = crossed([drawn(1, 20, 1.0, 1.0)])
    assert math.isnan(one.over_seeds[0]) and math.isnan(one.over_both[1])
    equal = crossed([np.zeros((3, 20))])
    rounding = stats.t.ppf(0.975, 2) * math.sqrt(2 * (1 / 20) ** 2 / 12 / 3)
    assert equal.mean == 0 and equal.over_both[1] == equal.over_seeds[1] == pytest.approx(rounding)
    single_image = crossed([drawn(3, 1, 1.0, 1.0)])
    assert single_image.over_both == single_image.over_seeds

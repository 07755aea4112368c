"""Expected accuracies and their ranges cannot leave [0, 1], whatever was gained elsewhere and however good the probe is."""

from __future__ import annotations

import itertools

import pytest

from bench.advice import text as in_words
from bench.core.schema import Measure
from reports.analysis.advice import advise
from reports.analysis.evidence import Condition, Place
from reports.analysis.leave_one_out import error_margin, held_out
from reports.analysis.log_odds import accuracy, log_odds

LEVELS = [0.0, 0.004, 0.1, 0.5, 0.83, 0.99, 1.0]
STRATEGIES = ["full", "linear_probe", "scratch"]


def condition(dataset: str, probe: float, levels: list[float], test_images: int | None = 120) -> Condition:
    place = Place("net", 10, 6, {Measure.PROBE: probe}, images=60)
    found = {strategy: {0: level} for strategy, level in zip(STRATEGIES, levels, strict=True)}
    return Condition("s", dataset, dataset, place, found, {}, None, "full", None, test_images=test_images)


@pytest.mark.parametrize("probe", LEVELS)
@pytest.mark.parametrize("near", LEVELS)
def test_what_is_expected_stays_inside(near: float, probe: float) -> None:
    """Neighbours whose strategies are at every level, beside a probe at every level, for a target at every level."""
    for levels in itertools.product((0.0, 0.3, 1.0), repeat=3):
        evidence = [condition(d, near, list(levels)) for d in "abc"]
        place = Place("net", 10, 6, {Measure.PROBE: probe}, images=60)
        found = advise(place, evidence, "full")
        assert found and found.by_probe
        margin = error_margin(held_out(evidence, "full"))
        assert margin
        for ranked in found.ranked:
            low, high = (accuracy(ranked.odds + way * margin[0]) for way in (-1, 1))
            assert 0 < low <= ranked.accuracy <= high < 1


def test_it_grows_with_the_probe_instead_of_stopping_at_an_end() -> None:
    """Where gains were simply added, all probes from .8 on were promised 100 %."""
    evidence = [condition(d, 0.6, [0.8, 0.85, 0.5]) for d in "abc"]
    expected = []
    for probe in (0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0):
        found = advise(Place("net", 10, 6, {Measure.PROBE: probe}, images=60), evidence, "full")
        assert found
        expected.append([found.of(s).accuracy for s in STRATEGIES])  # type: ignore[union-attr]
    for lower, higher in itertools.pairwise(expected):
        assert all(a < b for a, b in zip(lower, higher, strict=True))


def printed(probe: float, levels: list[float]) -> str:
    evidence = [condition(d, 0.6, levels) for d in "abc"]
    evidence.append(condition("d", 0.6, [0.5 * level for level in levels]))
    found = advise(Place("net", 10, 6, {Measure.PROBE: probe}, images=10_000), evidence, "full")
    margin = error_margin(held_out(evidence, "full"))
    assert found and margin
    first = vars(found.ranked[0])
    return in_words._expected(
        first,
        {
            "margin": {"log_odds": margin[0], "datasets": margin[1]},
            "by_probe": True,
            "backbone": {"foreign": False},
        },
    )


@pytest.mark.parametrize("probe", [0.0, 0.2, 0.93, 0.999, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.6, 0.95, 1.0])
def test_no_certainty_is_printed(level: float, probe: float) -> None:
    text = printed(probe, [level, level, level])
    assert "100.0 %" not in text and " 0.0 %" not in text and "test accuracy" in text


def test_an_expectation_at_the_very_end_says_on_which_side() -> None:
    assert in_words._share(0.99999) == "above 99.9 %" and in_words._share(1e-9) == "below 0.1 %"
    assert in_words._share(0.9994) == "99.9 %" and in_words._share(0.5) == "50.0 %"


@pytest.mark.parametrize("images", [1, 60, 10_000])
def test_log_odds(images: int) -> None:
    """Finite at both ends, odd about one half, further out the more images there are, and back again."""
    assert log_odds(0.5, images) == 0
    assert log_odds(1.0, images) == -log_odds(0.0, images) < log_odds(1.0, images + 1)
    for level in LEVELS:
        assert accuracy(log_odds(level, images)) == pytest.approx((level * images + 0.5) / (images + 1))
    assert accuracy(1e6) == 1 and accuracy(-1e6) == 0  # no overflow


def test_the_test_images_are_told_by_the_accuracies() -> None:
    from reports.analysis.evidence import _test_images

    assert _test_images(k / 120 for k in (30, 31, 80)) == 120 and _test_images([0.5, 0.5]) is None

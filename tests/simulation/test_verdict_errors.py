"""False verdicts stay at or under the nominal 2.5 % each, in simulated studies. All settings: tests/benchmarks."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from reports.analysis.stats import ALPHA
from tests.simulation.studies import Simulated, rates

STUDIES = 300  # of four cells
NULL, EDGE = (
    (0.0,) * 5,
    (1.0, -8.0, -8.0, -8.0, -8.0),
)  # the edge: one better by just the margin, the others far worse
SHARED = {"conditions": 4, "own": 1.5, "run": 0.5}


def bounds(events: int, cells: int) -> tuple[float, float]:
    """99 % bounds of a rate, each by itself (Clopper and Pearson)."""
    found = binomtest(events, cells).proportion_ci(0.98)
    return found.low, found.high


@pytest.mark.parametrize(
    "study",
    [
        Simulated(NULL),
        Simulated(NULL, seeds=10),
        Simulated(NULL, seeds=5, datasets=3, taste=2.0),
        Simulated(NULL, datasets=2, uneven=5.0),
        Simulated(NULL, test_images=200, own=0.3, run=0.3),
        Simulated(NULL, **SHARED),
        Simulated((0.0,) * 14, seeds=3),
    ],
    ids=str,
)
def test_contradicted_though_nothing_is_better(study: Simulated) -> None:
    found = rates(study, STUDIES)
    assert bounds(found.contradicted, found.cells)[1] <= 2 * ALPHA
    assert bounds(found.low_wrong, found.cells)[1] <= 2 * ALPHA, "the regret's lower bound"


@pytest.mark.parametrize(
    "study",
    [
        Simulated(EDGE),
        Simulated(EDGE, seeds=10),
        Simulated(EDGE, datasets=3, taste=2.0),
        Simulated(EDGE, test_images=200, own=0.3, run=0.3),
        Simulated(EDGE, seeds=5, **SHARED),
    ],
    ids=str,
)
def test_supported_though_one_is_better_by_the_margin(study: Simulated) -> None:
    found = rates(study, STUDIES, seed=1)
    assert bounds(found.supported, found.cells)[1] <= 2 * ALPHA
    assert bounds(found.high_wrong, found.cells)[1] <= 2 * ALPHA, "the regret's upper bound"


def test_the_edge_is_used_up() -> None:
    """With one alternative at the edge "supported" comes at its nominal rate: the machinery is not just timid."""
    found = rates(Simulated(EDGE, seeds=5), STUDIES, seed=1)
    assert bounds(found.supported, found.cells)[1] > 0.6 * ALPHA


def test_counting_sizes_and_backbones_as_seeds_would_break_it() -> None:
    found = rates(Simulated(NULL, **SHARED), 100, as_blocks=True)
    assert bounds(found.contradicted, found.cells)[0] > 2 * ALPHA


def test_true_effects_are_found() -> None:
    better = rates(Simulated((6.0, 0.0, -3.0), seeds=5), 50)
    assert better.contradicted > 0.8 * better.cells and better.supported == 0
    worse = rates(Simulated((-3.0, -4.0, -5.0), seeds=5), 50)
    assert worse.supported > 0.8 * worse.cells and worse.contradicted == 0

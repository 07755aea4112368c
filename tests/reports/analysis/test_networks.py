"""Whether networks agree, on hand-made studies in which they do, or do not."""

from __future__ import annotations

from typing import Any

import pytest

from bench.core.schema import Metric, Status
from reports.analysis.networks import Networks, networks
from reports.analysis.rows import StoredStudy
from tests.support.report_studies import NAMES, two_networks


def agreed(made: StoredStudy) -> Networks:
    found = networks(made.document.matrix.baseline, made.rows)
    assert found is not None
    return found


def test_networks_that_agree() -> None:
    found = agreed(two_networks())
    assert found.names == list(NAMES) and found.strategies[0] == "full" and found.strategies[-1] == "scratch"
    assert found.agreement == {(x, y): pytest.approx(1.0) for x in NAMES for y in NAMES}
    assert all(one.mean == 0 for one in found.transferred.values())
    assert found.against["a"]["full"].interval.mean == pytest.approx(0.06, abs=0.01)


def test_networks_that_are_opposite() -> None:
    found = agreed(two_networks(reverse=True))
    assert found.agreement["a", "a"] == found.agreement["b", "b"] == pytest.approx(1.0)
    assert found.agreement["a", "b"] == found.agreement["b", "a"] == pytest.approx(-1.0)
    # b's best is scratch, a's is full: .82 against .3 either way
    assert found.transferred["a", "b"].mean == pytest.approx(0.52, abs=0.02)
    assert found.transferred["b", "a"].mean == pytest.approx(0.52, abs=0.02)
    assert found.transferred["a", "a"].mean == found.transferred["b", "b"].mean == 0


def test_noise_lowers_the_agreement_of_a_network_with_itself() -> None:
    found = agreed(two_networks(noise=0.3))
    assert found.agreement["a", "a"] < 0.9


def test_what_is_picked_is_judged_by_another_seed() -> None:
    """On one seed of b scratch is far ahead; picked there it would cost a's full .1 on that seed, held out it may not."""
    made = two_networks()
    for row in made.rows:
        if (row["backbone"], row["strategy"], row["seed"]) == ("b", "scratch", 0):
            row[Metric.TEST_ACCURACY] = 0.95
    transferred = agreed(made).transferred["a", "b"]
    assert transferred.mean == 0  # over seeds 1 and 2, and over 0 with one other, full stays b's best


@pytest.mark.parametrize("lost", ["one seed", "a strategy on one network"])
def test_only_what_is_complete_on_all_networks_is_compared(lost: str) -> None:
    made = two_networks()
    for row in made.rows:
        one_seed = lost == "one seed" and (row["backbone"], row["seed"], row["strategy"]) == ("b", 2, "full")
        if one_seed or (lost != "one seed" and (row["backbone"], row["strategy"]) == ("b", "scratch")):
            row |= {"status": Status.FAILED, Metric.TEST_ACCURACY: None}
    found = agreed(made)
    if lost == "one seed":
        assert found.transferred["a", "b"].n == 2 and "full" in found.strategies
    else:
        assert found.transferred["a", "b"].n == 3 and "scratch" not in found.strategies


@pytest.mark.parametrize("change", [{"seeds": (0,)}, {"baseline": "absent"}, {"one": True}])
def test_where_there_is_nothing_to_compare(change: dict[str, Any]) -> None:
    made = two_networks(seeds=change.get("seeds", (0, 1)))
    baseline = None if "baseline" in change else made.document.matrix.baseline
    rows = [row for row in made.rows if row["backbone"] == "a"] if "one" in change else made.rows
    assert networks(baseline, rows) is None

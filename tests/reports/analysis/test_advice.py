"""The advice against hand computations, in a world with a planted truth, and in one without."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest

from bench.core.schema import Measure
from reports.analysis.advice import advise
from reports.analysis.distance import UNKNOWN, at_size, scales, squared_distance, weigh
from reports.analysis.evidence import Condition, Place, comparable, conditions
from reports.analysis.leave_one_out import Policy, error_margin, held_out
from reports.analysis.log_odds import log_odds
from tests.support import simulated_evidence as simulated

NET = simulated.KEY


def condition(dataset: str, place: Place, full: float, lora: float, seconds: float = 4.0) -> Condition:
    return Condition(
        "s", dataset, dataset, place, {"full": {0: full}, "lora": {0: lora}}, {"full": 2.0, "lora": seconds},
        "full", "full", None,
    )  # fmt: skip


def evidence(**more: object) -> list[Condition]:
    document, rows = simulated.study(simulated.PLANTED, **more)  # type: ignore[arg-type]
    return comparable(conditions(document, rows), "full")


def test_a_distance_by_hand() -> None:
    a = Place(NET, 10, 10, {Measure.PROBE: 0.7, Measure.KNN: 0.6, Measure.LOGME: 0.1}, True)
    b = Place(NET, 40, 20, {Measure.PROBE: 0.5, Measure.KNN: 0.5, Measure.LOGME: 0.0}, False)
    scale = scales([a, b])
    assert scale["size"] == pytest.approx(log(2)) and scale[Measure.PROBE] == pytest.approx(0.1)
    size, classes = (log(4) / log(2)) ** 2, (log(2) / log(2)) ** 2
    features = ((0.2 / 0.1) ** 2 + (0.1 / 0.1) ** 2 + (0.1 / 0.1) ** 2) / 3
    assert squared_distance(a, b, scale) == pytest.approx(size + classes + features + 4)
    assert squared_distance(a, a, scale) == 0
    foreign = replace(b, backbone="other")  # LogME is not compared between networks
    features = ((0.2 / 0.1) ** 2 + (0.1 / 0.1) ** 2) / 2
    assert squared_distance(a, foreign, scale) == pytest.approx(size + classes + features + 4 + UNKNOWN)


def test_what_is_unknown_of_the_target_counts_nothing_and_of_a_condition_an_average() -> None:
    full = Place(NET, 10, 10, {Measure.PROBE: 0.7}, True)
    bare = Place(NET, 10)
    scale = scales([full, bare])
    assert squared_distance(bare, full, scale) == 0
    assert squared_distance(full, bare, scale) == 3 * UNKNOWN  # classes, features, likeness


def test_the_stem_s_distance_goes_before_the_declared_similarity_on_one_backbone_only() -> None:
    a = Place(NET, 10, measures={Measure.FRECHET_STEM: 0.1}, similar=True)
    b = Place(NET, 10, measures={Measure.FRECHET_STEM: 0.5}, similar=False)
    scale = scales([a, b])
    assert squared_distance(a, b, scale) == pytest.approx((0.4 / 0.2) ** 2)
    assert squared_distance(a, replace(b, backbone="x"), scale) == pytest.approx(4 + UNKNOWN)


def test_weights_gains_accuracy_and_cost_by_hand() -> None:
    """One group differs: images per class, by one standard deviation, log 4 / log 4."""
    near = condition("a", Place(NET, 10, measures={Measure.PROBE: 0.5}), full=0.60, lora=0.70, seconds=8.0)
    far = condition("b", Place(NET, 160, measures={Measure.PROBE: 0.7}), full=0.80, lora=0.76, seconds=4.0)
    place = Place(NET, 10)
    neighbours = weigh(place, [far, near])
    assert [n.condition.dataset for n in neighbours] == ["a", "b"]
    assert [n.distance for n in neighbours] == pytest.approx(
        [0, 2]
    )  # log 16 over a standard deviation of log 4
    share = 1 / (1 + exp(-2))
    assert [n.weight for n in neighbours] == pytest.approx([share, 1 - share])
    found = advise(place, [far, near], "full")
    assert found and [r.strategy for r in found.ranked] == ["lora", "full"] and found.used == ["size"]
    lora = found.ranked[0]
    assert lora.gain == pytest.approx(share * 0.10 - (1 - share) * 0.04)
    assert (lora.low, lora.high) == pytest.approx((-0.04, 0.10))
    odds = share * log_odds(0.70) + (1 - share) * log_odds(0.76)
    assert lora.accuracy == pytest.approx(1 / (1 + exp(-odds))) and not found.by_probe
    assert lora.seconds == pytest.approx(share * 8 + (1 - share) * 4)
    assert lora.times == pytest.approx(share * 4 + (1 - share) * 2)
    assert (lora.conditions, lora.datasets, lora.runs) == (2, 2, 2)


def test_accuracy_is_expected_relative_to_the_own_probe() -> None:
    a = condition("a", Place(NET, 10, measures={Measure.PROBE: 0.50}), 0.60, 0.70)
    b = condition("b", Place(NET, 10, measures={Measure.PROBE: 0.50}), 0.60, 0.66)
    found = advise(Place(NET, 10, measures={Measure.PROBE: 0.30}), [a, b], "full")
    assert found and found.by_probe
    gained = (log_odds(0.70) + log_odds(0.66)) / 2 - log_odds(0.50)
    assert found.ranked[0].odds == pytest.approx(log_odds(0.30) + gained)
    assert found.ranked[0].accuracy == pytest.approx(1 / (1 + exp(-found.ranked[0].odds)))


def test_with_a_curve_features_are_compared_at_the_other_s_size() -> None:
    target = Place(
        NET, 100, measures={Measure.PROBE: 0.9}, curve={10: {Measure.PROBE: 0.5}, 100: {Measure.PROBE: 0.9}}
    )
    assert at_size(target, 10) == {Measure.PROBE: 0.5}
    assert at_size(target, 10**1.5)[Measure.PROBE] == pytest.approx(0.7)
    assert at_size(target, 1)[Measure.PROBE] == 0.5 and at_size(target, 1000)[Measure.PROBE] == 0.9
    other = Place(NET, 10, measures={Measure.PROBE: 0.5})
    scale = scales([target, other])
    size = (log(10) / scale["size"]) ** 2
    assert squared_distance(target, other, scale) == pytest.approx(size)
    assert squared_distance(replace(target, curve={}), other, scale) == pytest.approx(size + 4)


def test_a_strategy_measured_far_away_only_is_not_ranked() -> None:
    near = [condition(d, Place(NET, 10), 0.6, 0.7) for d in "ab"]
    far = condition("c", Place(NET, 10000), 0.6, 0.6)
    far = replace(far, accuracies={**far.accuracies, "miracle": {0: 1.0}})
    found = advise(Place(NET, 10), [*near, far], "full")
    assert found and "miracle" not in [r.strategy for r in found.ranked] and len(found.neighbours) == 3


def test_one_dataset_is_no_evidence() -> None:
    own = [condition("a", Place(NET, n), 0.6, 0.7) for n in (10, 100)]
    assert advise(Place(NET, 10), own, "full") is None and advise(Place(NET, 10), [], "full") is None


def test_evidence_that_is_all_very_far_still_has_weights() -> None:
    own = [condition(d, Place(NET, 10), 0.6, 0.7) for d in "ab"]
    found = advise(Place(NET, 1e300), own, "full")
    assert found and sum(n.weight for n in found.neighbours) == pytest.approx(1) and found.nearest > 100


@pytest.mark.parametrize("cell", simulated.RULE)
@pytest.mark.parametrize("measured", [True, False])
def test_the_planted_best_is_found_for_a_new_dataset(cell: str, measured: bool) -> None:
    """By size and probe where there are measures; by size and declared similarity where there are none."""
    similar, n = cell.startswith("similar"), 12 if cell.endswith("small") else 180
    probe = 0.78 if similar else 0.42
    values = {Measure.PROBE: probe, Measure.KNN: probe - 0.03, Measure.LOGME: probe - 0.5}
    place = Place(NET, n, 10, values) if measured else Place(NET, n, None, {}, similar)
    found = advise(place, evidence(measured=measured), "full")
    assert found and found.ranked[0].strategy == simulated.BEST[cell]
    # drawn towards the other conditions, but never past nothing
    assert 0.3 < found.ranked[0].gain / simulated.PLANTED[cell][simulated.BEST[cell]] < 1.2


def test_the_cheapest_of_those_that_are_about_as_good_is_named() -> None:
    place = Place(NET, 10)
    made = [condition(d, place, 0.6, 0.603, seconds=9.0) for d in "ab"]
    found = advise(place, made, "full")
    assert found is not None and found.ranked[0].strategy == "lora"
    cheaper = found.cheapest_tie(0.01)
    assert cheaper is not None and cheaper.strategy == "full"
    assert found.cheapest_tie(0.001) is None  # .3 points are more than the margin


def test_on_a_network_without_evidence_each_is_held_out_with_its_network() -> None:
    """Networks that want opposite things: with its own network's others the advice is right, without them it is wrong."""
    made = [condition(d, Place(NET, 10), 0.6, 0.8) for d in "abc"]
    made += [condition(d, Place("other", 10), 0.6, 0.4) for d in "abc"]
    own, foreign = (held_out(made, "full", foreign=way) for way in (False, True))
    assert max(t.regrets[Policy.ADVICE] for t in own) == 0
    assert [round(t.regrets[Policy.ADVICE], 3) for t in foreign] == [0.2] * 6
    margins = [error_margin(found) for found in (own, foreign)]
    assert margins[0] and margins[1] and margins[0][0] < margins[1][0]
    assert held_out(made[:3], "full", foreign=True) == []

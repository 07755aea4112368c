"""The advice on datasets that it has not seen: it must not see them, must win where there is truth, and not without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import pytest

from bench.core.schema import Measure
from reports.analysis.dataset_intervals import over_datasets
from reports.analysis.evidence import Condition, comparable, conditions
from reports.analysis.leave_one_out import (
    ADVICE,
    FIXED,
    FULL,
    PROBE,
    RULE,
    SIZE,
    covered,
    error_margin,
    held_out,
    learn,
    scores,
    shown,
)
from tests.support import simulated_evidence as simulated


def evidence(made: simulated.Study) -> list[Condition]:
    return comparable(conditions(*made), "full")


def test_every_policy_s_regret_by_hand() -> None:
    found = held_out(evidence(simulated.study(simulated.PLANTED, datasets=4, noise=0.0)), "full")
    assert len(found) == 8
    first, second = found[:2]  # d0: similar, at 10 and at 200
    assert dict(first.picks) == {
        ADVICE: "linear_probe", RULE: "linear_probe", FULL: "full", PROBE: "linear_probe", FIXED: first.picks[FIXED],
        SIZE: "lora",  # .03, .07 and .07 on the three others at 10 images per class
    }  # fmt: skip
    assert first.regrets[ADVICE] == pytest.approx(0) and first.regrets[FULL] == pytest.approx(0.08)
    assert second.picks[ADVICE] == "l2_sp"
    assert second.regrets[RULE] == pytest.approx(0.05) and second.regrets[PROBE] == pytest.approx(0.11)
    means = {s.policy: s for s in scores(found)}
    assert means[RULE].regret.mean == pytest.approx((0 + 0.05 + 0.06 + 0.09) / 4)
    assert means[FULL].saved.mean == pytest.approx((0.08 + 0.05 + 0.07 + 0.04) / 4)


def test_the_best_fixed_strategy_is_picked_without_the_left_out_dataset() -> None:
    gains = {cell: {"lora": 0.05} for cell in simulated.RULE}
    own = evidence(simulated.study(gains, datasets=4, noise=0.0))
    own = [_with_miracle(c, "l2_sp") if c.dataset == "synthetic/d0" else c for c in own]
    by_dataset = {t.condition.dataset: t.picks[FIXED] for t in held_out(own, "full")}
    assert by_dataset["synthetic/d0"] == "lora" and by_dataset["synthetic/d1"] == "l2_sp"


def _with_miracle(condition: Condition, strategy: str) -> Condition:
    best = {seed: accuracy + 0.5 for seed, accuracy in condition.accuracies["full"].items()}
    return replace(condition, accuracies={**condition.accuracies, strategy: best})


@pytest.mark.parametrize("how", ["other size", "other study", "other backbone"])
def test_nothing_of_a_left_out_dataset_is_seen(how: str) -> None:
    """A strategy that wonders only on d0: its other conditions, which lie nearest of all, would give it away."""
    own = evidence(simulated.study(simulated.PLANTED, datasets=4, sizes=(10, 12), noise=0.0))
    twins = [replace(c, study="again") for c in own if c.dataset == "synthetic/d0"]
    if how == "other study":
        own += twins
    elif how == "other backbone":
        own += [replace(c, place=replace(c.place, backbone="x")) for c in twins]
    poisoned = [_with_miracle(c, "last_stages") if c.dataset == "synthetic/d0" else c for c in own]
    before, after = held_out(own, "full"), held_out(poisoned, "full")
    of_d0 = [
        (a.picks, b.picks)
        for a, b in zip(before, after, strict=True)
        if a.condition.dataset == "synthetic/d0"
    ]
    assert of_d0 and all(a[ADVICE] == b[ADVICE] and a[FIXED] == b[FIXED] for a, b in of_d0)
    others = [t.picks[ADVICE] for t in after if t.condition.dataset == "synthetic/d2"]
    assert set(others) == {"last_stages"}  # its likes, which may see d0, do fall for it: the poison works


def test_where_the_best_depends_on_size_and_similarity_the_advice_finds_it_and_beats_the_rule() -> None:
    found = held_out(evidence(simulated.study(simulated.PLANTED, datasets=8, noise=0.02)), "full")
    hits = [
        t.picks[ADVICE] == simulated.BEST[simulated.cell_of(int(t.condition.label[1:]), _n(t))] for t in found
    ]
    assert sum(hits) >= 15 and len(hits) == 16
    means = {s.policy: s for s in scores(found)}
    assert shown(list(means.values())) and means[ADVICE].regret.mean < 0.01
    assert all(means[p].saved.low > 0 for p in (RULE, FULL, PROBE, FIXED))
    margin = error_margin(found)
    assert (
        margin and margin[1] == 8 and 0.1 < margin[0] < 1.2
    )  # log odds: a quarter of it in accuracy, at most


def _n(trial: object) -> int:
    return int(trial.condition.place.n_per_class)  # type: ignore[attr-defined]


def test_pure_noise_claims_nothing() -> None:
    """Of 120 stores without any truth at most 5 % may claim to beat the rule (nominal: 2.5 %)."""
    claims = sum(shown(_noise(seed)) for seed in range(120))
    assert claims <= 6, claims


def test_pure_noise_promises_more_than_it_keeps() -> None:
    """The favourite's own gain looks like a gain in nearly every store: what is shown may not rest on it."""
    promised = []
    for seed in range(20):
        own = evidence(simulated.study({}, datasets=6, noise=0.02, between=0.02, seed=seed))
        promised += [gains[max(gains, key=lambda s: gains[s])] for gains in (c.gains("full") for c in own)]
    assert sum(gain > 0 for gain in promised) > 0.8 * len(promised)


def _noise(seed: int) -> Sequence[object]:
    own = evidence(simulated.study({}, datasets=6, noise=0.02, between=0.02, seed=seed))
    return scores(held_out(own, "full"))  # type: ignore[return-value]


def test_intervals_are_over_datasets() -> None:
    values = [("a", 0.1), ("a", 0.3), ("b", 0.4), ("c", 0.6)]
    found = over_datasets(values)
    assert (found.n, found.mean) == (3, pytest.approx(0.4))
    half = 4.302653 * 0.2 * sqrt(1 / 3 + 1 / 2)  # t of 2 degrees of freedom; standard deviation of .2, .4, .6
    assert (found.low, found.high) == (pytest.approx(0.4 - half), pytest.approx(0.4 + half))
    assert over_datasets(values[:3]).low is None


def test_two_datasets_decide_nothing() -> None:
    found = held_out(evidence(simulated.study(simulated.PLANTED, datasets=2, noise=0.0)), "full")
    assert not shown(scores(found)) and error_margin(found) is None and covered(found) is None
    assert all(ADVICE not in t.picks for t in found)  # each would be advised on from one


def test_ranges_cover_what_they_should() -> None:
    """Made from the other datasets' errors, about 95 % of left-out accuracies lie in them."""
    inside = total = 0
    for seed in range(20):
        found = covered(held_out(evidence(simulated.study(simulated.PLANTED, seed=seed)), "full"))
        assert found
        inside, total = inside + found[0], total + found[1]
    assert 0.92 <= inside / total <= 0.99, inside / total


@pytest.mark.parametrize("tells", [True, False])
def test_accuracy_is_expected_by_what_erred_less(tells: bool) -> None:
    """Levels follow the probe; or they are equal everywhere, and the probe is noise."""
    own = evidence(simulated.study(simulated.PLANTED))
    levels = [c.place.measures[Measure.PROBE] if tells else 0.5 for c in own]
    own = [
        replace(c, accuracies={s: {0: v} for s in ("full", "lora")}) for c, v in zip(own, levels, strict=True)
    ]
    found, by_probe = learn(own, "full")
    assert by_probe == tells
    assert [t.error for t in found] == [t.error for t in held_out(own, "full", by_probe=tells)]


def test_a_policy_without_results_is_left_out_of_the_comparison() -> None:
    own = [replace(c, probe=None) for c in evidence(simulated.study(simulated.PLANTED, datasets=4))]
    assert PROBE not in {s.policy for s in scores(held_out(own, "full"))}
    assert not shown([])

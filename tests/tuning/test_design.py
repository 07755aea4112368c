"""The sampler `design`: the defaults, other rates, then a pattern search around the best setting so far."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.planning import compose
from bench.planning.search_space import Searched, space
from bench.planning.searches import Budget
from bench.tuning import engine
from bench.tuning.design import first_settings, next_setting
from tests.support.tuning_samples import make_tuning, open_search, peak, work

RATE = Searched("full.lr", 0.01, 1e-4, 1e-1, True)
CHOICE = Searched("delta.attention", True, choices=(True, False))
STAGES = Searched("last_stages.k", 1, 1, 3)
DECAY = Searched("llrd.decay", 0.75, 0.5, 0.95)


def rates(settings: list[dict]) -> list[float]:
    return [round(math.log10(s["full.lr"]), 3) for s in settings]


def test_the_defaults_come_first_then_rates_on_both_sides_half_a_decade_apart() -> None:
    assert rates(first_settings([RATE])) == [-2, -2.5, -1.5, -3, -1]
    assert first_settings([CHOICE]) == [{"delta.attention": True}]


def test_what_would_leave_the_range_ends_at_its_bound() -> None:
    assert rates(first_settings([Searched("full.lr", 0.1, 1e-4, 1e-1, True)])) == [-1, -1.5, -2]
    high = Searched("full.lr", 0.05, 1e-4, 1e-1, True)
    assert max(s["full.lr"] for s in first_settings([high])) == 0.1


def test_all_rates_of_a_strategy_move_together_at_first() -> None:
    found = space(compose.parse("lp_ft", {}), ["*lr"], [], {})
    ratios = {round(s["lp_ft.probe_lr"] / s["lp_ft.lr"], 6) for s in first_settings(found)[:3]}
    assert len(found) == 2 and len(ratios) == 1


def test_then_neighbours_of_the_best_are_tried_and_steps_are_halved() -> None:
    tried = first_settings([RATE])
    assert rates([next_setting([RATE], tried, tried[4])]) == [-1.25], (
        "up leaves the range, a step down was tried"
    )
    assert rates([next_setting([RATE], tried, tried[3])]) == [-3.5]


def test_other_hyperparameters_move_one_at_a_time_from_the_best_before_more_rates() -> None:
    searched = [STAGES, RATE, DECAY, CHOICE]
    tried = first_settings(searched)
    assert rates(tried) == [-2, -2.5, -1.5]
    best = tried[1]
    found: list[dict] = []
    for _ in range(5):
        found.append(next_setting(searched, tried + found, best))
    changed = [{k: v for k, v in setting.items() if v != best[k]} for setting in found]
    assert changed == [
        {"last_stages.k": 2},
        {"llrd.decay": pytest.approx(0.6375)},
        {"llrd.decay": pytest.approx(0.8625)},
        {"delta.attention": False},
        {"full.lr": pytest.approx(0.001)},
    ]


def test_where_all_was_tried_the_best_is_tried_once_more() -> None:
    both = [{"delta.attention": True}, {"delta.attention": False}]
    assert next_setting([CHOICE], both, both[1]) == both[1]


@pytest.mark.parametrize("optimum", [1e-4, 10**-3.25, 0.05])
def test_a_larger_budget_comes_nearer(tmp_path: Path, optimum: float) -> None:
    def accuracy(params: dict) -> float:
        return 0.9 - abs(math.log10(params["full.lr"] / optimum)) / 10

    distances = []
    for trials in (5, 16):
        search = open_search(make_tuning(Budget("trials", trials), expression="full"), tmp_path)
        work(search, accuracy)
        best = max(search.counted, key=lambda t: t.values[0])
        distances.append(abs(math.log10(best.params["full.lr"] / optimum)))
    assert distances[1] < 0.1 and distances[1] <= distances[0]


def test_what_a_killed_worker_was_at_is_tried_again_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    undisturbed = open_search(make_tuning(Budget("trials", 9)), tmp_path, "a.journal")
    work(undisturbed, peak)
    first = open_search(make_tuning(Budget("trials", 9)), tmp_path, "b.journal")
    work(first, peak, at_most=6)
    first.ask().set_user_attr(engine.MARK, "1:0.00")  # no such process
    again = open_search(make_tuning(Budget("trials", 9)), tmp_path, "b.journal")
    work(again, peak)
    assert [t.params for t in again.counted] == [t.params for t in undisturbed.counted]

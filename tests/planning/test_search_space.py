"""What is searched: the strategies' own ranges, narrowed, fixed and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.planning import compose, load
from bench.planning import plan as planning
from bench.planning import searches as tuning
from bench.planning.search_space import Params, space, with_params
from tests.conftest import TINY_STUDY


def names(expression: str, search: tuple[str, ...] = ("*",), fix: tuple[str, ...] = ()) -> list[str]:
    return [s.name for s in space(compose.parse(expression, {}), search, fix, {})]


def test_every_hyperparameter_with_a_range_is_searched() -> None:
    assert names("full + head_x10 + l2_sp") == ["full.lr", "head_x10.multiplier", "l2_sp.alpha", "l2_sp.beta"]
    assert names("logreg") == []


def test_patterns_choose_and_fix() -> None:
    assert names("full + head_x10 + l2_sp", ("*.lr", "l2_sp.*"), ("l2_sp.beta",)) == [
        "full.lr",
        "l2_sp.alpha",
    ]


def test_a_study_narrows_a_range_on_the_declared_scale() -> None:
    strategy = compose.parse("full + l2_sp", {"full": {"lr": 0.003}})
    (lr,) = space(strategy, ["full.*"], [], {"full": {"lr": [0.001, 0.01]}})
    assert (lr.low, lr.high, lr.log, lr.default) == (0.001, 0.01, True, 0.003)


def test_a_hyperparameter_without_a_range_can_be_given_one() -> None:
    (k,) = space(compose.parse("last_stages", {}), ["*.k"], [], {"last_stages": {"k": [1, 3]}})
    assert (k.low, k.high, k.default) == (1, 3, compose.parse("last_stages", {}).freeze.hyperparameters["k"])


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"full": {"lr": [0.5, 0.1]}}, "no range"),
        ({"full": {"lr": [0, 0.1]}}, "logarithmic"),
        ({"full": {"lr": 0.1}}, r"expected \[low, high\]"),
        ({"full": {"lr": ["a", "b"]}}, r"expected \[low, high\]"),
        ({"full": {"lr": [0.5, 0.9]}}, "trial 0 takes, is outside"),
    ],
)
def test_ranges_without_sense_are_refused(ranges: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space(compose.parse("full", {}), ["*"], [], ranges)


def test_drawn_hyperparameters_reach_the_strategy_and_its_teacher() -> None:
    strategy = compose.parse("full + head_x10 + distill", {})
    params: Params = {"full.lr": 0.5, "distill.teacher_lr": 0.25}
    drawn = with_params(strategy, params)
    assert drawn.freeze.hyperparameters["lr"] == 0.5 and drawn.lr == strategy.lr
    assert tuning.teaching(drawn).freeze.hyperparameters["lr"] == 0.25


def planned(tmp_path: Path, tune: str, strategies: str = "[linear_probe, full + head_x10]") -> planning.Plan:
    path = tmp_path / "tiny.yaml"
    text = TINY_STUDY.replace(
        "strategies:\n  - linear_probe\n  - full + head_x10\n", f"strategies: {strategies}\n"
    )
    known = "hyperparameters:\n  linear_probe: {lr: 0.01}\n  full: {lr: 0.001}\n"
    path.write_text(f"{text.replace(known, '')}tune: {tune}\n")
    return planning.make(load.load(path), path, tmp_path)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ("{}", "exactly one budget, has none"),
        ("{trials: 3, seconds: 5}", "has trials and seconds"),
        ("{trials: 0}", "greater than or equal to 1"),
        ("{trials: 3, search: [fool.lr]}", "did you mean full.lr"),
        ("{trials: 3, ranges: {full: {rate: [0.1, 0.2]}}}", "full.rate is no hyperparameter"),
        ("{trials: 3, smapler: tpe}", "did you mean sampler"),
        ("{trials: 3}\ntrain: {evaluate: best}", "duplicate key"),
    ],
)
def test_mistakes_in_a_study_are_told_with_their_place(tmp_path: Path, tune: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        planned(tmp_path, tune)
    assert "tiny.yaml" in str(told.value)


def test_every_strategy_gets_the_same_budget_and_one_search_serves_all_seeds(tmp_path: Path) -> None:
    plan = planned(tmp_path, "{trials: 3}")
    searches = [run.tuning for run in plan.tunings.values()]
    assert len(searches) == 3 * 2, "conditions x strategies"
    assert {s.budget for s in searches} == {tuning.Budget("trials", 3)}
    assert {s.spec.seed for s in searches} == {0}
    each = planned(tmp_path, "{trials: 3, each_seed: true}")
    assert sorted(run.tuning.spec.seed for run in each.tunings.values()) == [0] * 6 + [1] * 6


def test_runs_that_count_train_on_validation_images_too_unless_a_method_needs_them(tmp_path: Path) -> None:
    plan = planned(tmp_path, "{trials: 3}", "[full, trans_tailor]")
    fit = {(run.spec.strategy.label, run.spec.train.fit) for run in plan.runs if run.setting == "default"}
    assert fit == {("full", "train+val"), ("trans_tailor", "train")}
    assert {run.tuning.spec.train.fit for run in plan.tunings.values()} == {"train"}, "trials hold them out"


def test_a_strategy_without_hyperparameters_to_search_is_run_once_for_both_settings(tmp_path: Path) -> None:
    plan = planned(tmp_path, "{trials: 3}", "[logreg, full]")
    logreg = [run for run in plan.runs if run.spec.strategy.label == "logreg"]
    assert len(logreg) == 12 and len({run.run_id for run in logreg}) == 6
    assert {run.setting for run in logreg} == {"default", "tuned"} and not any(r.waiting for r in logreg)


def test_the_budget_is_no_part_of_a_searchs_identity(tmp_path: Path) -> None:
    few, many = (planned(tmp_path, f"{{trials: {n}}}") for n in (3, 5))
    assert set(few.tunings) == set(many.tunings)
    other = planned(tmp_path, "{trials: 3, sampler: random}")
    assert not set(few.tunings) & set(other.tunings)

"""Optuna's ask and tell: budgets, defaults first, going on after a stop, samplers, pruners and storages by name."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest

from bench.core.errors import UserError
from bench.planning.searches import Budget, Method
from bench.tuning import engine, samplers
from bench.tuning.engine import Search
from tests.support.tuning_samples import make_tuning, open_search, peak, work


def history(search: Search) -> list[dict]:
    return [t.params for t in search.counted]


def test_the_first_trial_is_the_defaults(tmp_path: Path) -> None:
    search = open_search(make_tuning(), tmp_path)
    trial = search.ask()
    assert trial.number == 0 and trial.params == search.tuning.defaults


@pytest.mark.parametrize(
    ("budget", "seconds", "trials"),
    [
        (Budget("trials", 6), 1.0, 6),
        (Budget("seconds", 10), 2.5, 4),
        (Budget("seconds", 9.9), 2.5, 3),  # a fourth would overrun it
        (Budget("samples_seen", 100), 2.5, 4),  # 25 images a trial
        (Budget("seconds", 1), 5.0, 1),  # the defaults are always tried
    ],
)
def test_a_search_ends_with_its_budget(tmp_path: Path, budget: Budget, seconds: float, trials: int) -> None:
    search = open_search(make_tuning(budget), tmp_path)
    assert work(search, peak, seconds) == trials
    assert search.used_up and len(search.within_budget()) == trials


@pytest.mark.parametrize("sampler", ["design", "tpe"])
def test_a_search_that_is_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path, sampler: str) -> None:
    tuning = make_tuning(Budget("trials", 14), Method(sampler))
    undisturbed = open_search(tuning, tmp_path, "a.journal")
    work(undisturbed, peak)
    for stops in range(4):
        work(open_search(tuning, tmp_path, "b.journal"), peak, at_most=3 + stops)
    again = open_search(tuning, tmp_path, "b.journal")
    assert history(again) == history(undisturbed) and len(history(again)) == 14
    assert len({tuple(p.items()) for p in history(again)}) == 14, "each draw is another"


def test_a_larger_budget_goes_on_and_a_smaller_one_looks_at_its_share(tmp_path: Path) -> None:
    work(open_search(make_tuning(Budget("trials", 4)), tmp_path), lambda p: 0.5)
    more = open_search(make_tuning(Budget("trials", 9)), tmp_path)
    assert work(more, peak) == 5
    less = open_search(make_tuning(Budget("trials", 4)), tmp_path)
    assert len(less.within_budget()) == 4 and less.ask() is None
    assert less.chosen().candidate.accuracy == 0.5 and more.chosen().candidate.accuracy > 0.5


def test_a_trial_whose_process_is_gone_is_tried_again_and_not_counted(tmp_path: Path) -> None:
    first = open_search(make_tuning(Budget("trials", 3)), tmp_path)
    work(first, peak, at_most=1)
    lost = first.ask()
    lost.set_user_attr(engine.MARK, "1:0.00")  # no such process
    search = open_search(make_tuning(Budget("trials", 3)), tmp_path)
    again = search.ask()
    assert again.params == lost.params and again.number != lost.number
    search.tell(again, "complete", 0.9, 1.0, 1.0, 1.0, 1000)
    work(search, peak)
    assert len(search.counted) == 3 and search.study.trials[lost.number].state.name == "FAIL"


def test_a_trial_of_a_host_that_no_file_can_be_shared_with_is_tried_again(tmp_path: Path) -> None:
    """A container that was killed comes back under another name."""
    first = open_search(make_tuning(Budget("trials", 3)), tmp_path)
    lost = first.ask()
    lost.set_user_attr(engine.HOST, "former-name")
    search = open_search(make_tuning(Budget("trials", 3)), tmp_path)
    assert work(search, peak) == 3 and search.used_up
    assert search.study.trials[lost.number].state.name == "FAIL"


def test_a_trial_that_nobody_signed_is_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_search(make_tuning(Budget("trials", 2)), tmp_path)
    first.study.ask()  # killed before it could leave its mark
    assert not open_search(make_tuning(Budget("trials", 2)), tmp_path).used_up
    assert first.study.trials[0].state.name == "RUNNING", "it may be about to"
    monkeypatch.setattr(engine, "SIGNED_AFTER", 0.0)
    search = open_search(make_tuning(Budget("trials", 2)), tmp_path)
    assert work(search, peak) == 2 and search.used_up


def test_a_trial_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    open_search(make_tuning(Budget("trials", 2)), tmp_path).ask()
    other = open_search(make_tuning(Budget("trials", 2)), tmp_path)
    assert other.ask().number == 1 and other.ask() is None and not other.used_up


def test_the_best_has_the_highest_accuracy_and_on_a_tie_the_lower_nll(tmp_path: Path) -> None:
    search = open_search(make_tuning(Budget("trials", 4), Method(choice="highest")), tmp_path)
    for value, nll in [(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.8)]:
        search.tell(search.ask(), "complete", value, nll, 1.0, 1.0, 1000)
    assert search.chosen().candidate.number == 2


def test_failed_and_pruned_trials_count_but_are_not_chosen(tmp_path: Path) -> None:
    search = open_search(make_tuning(Budget("trials", 3)), tmp_path)
    search.tell(search.ask(), "failed", math.nan, math.nan, 1.0, 1.0, 1000)
    search.tell(search.ask(), "pruned", math.nan, math.nan, 1.0, 1.0, 1000)
    assert search.chosen() is None
    search.tell(search.ask(), "complete", 0.1, 1.0, 1.0, 1.0, 1000)
    assert search.chosen().candidate.number == 2 and search.ask() is None


@pytest.mark.parametrize("sampler", [*samplers.SAMPLERS, "design", "TPESampler"])
def test_every_sampler_finds_its_way(tmp_path: Path, sampler: str) -> None:
    tuning = make_tuning(Budget("trials", 12), Method(sampler=sampler))
    engine.check(tuning)
    search = open_search(tuning, tmp_path)
    assert work(search, peak) == 12
    assert len({tuple(p.items()) for p in history(search)}) > 6


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Method(sampler="annealing"), "no sampler 'annealing'"),
        (Method(sampler="tpe", sampler_options={"candidates": 3}), "TPESampler"),
        (Method(sampler_options={"n_startup_trials": 3}), "design has none"),
        (Method(sampler="GridSampler"), "ends a search by itself"),
        (Method(pruner="hyperbland"), "did you mean hyperband"),
        (Method(pruner="wilcoxon", splits=1), "set tune.splits to 2"),
        (Method(pruner="median", objective="accuracy x cost"), "cannot prune"),
        (Method(sampler="cmaes", objective="accuracy x cost"), "one objective only"),
    ],
)
def test_what_optuna_cannot_do_is_refused_beforehand(method: Method, message: str) -> None:
    with pytest.raises(UserError, match=message):
        engine.check(make_tuning(method=method))


@pytest.mark.parametrize(
    "pruner", [p for p in samplers.PRUNERS if p not in ("patient", "threshold", "percentile")]
)
def test_pruners_by_name(pruner: str) -> None:
    engine.check(make_tuning(method=Method(pruner=pruner, splits=3)))


def test_two_objectives_keep_a_pareto_front_and_choose_by_accuracy(tmp_path: Path) -> None:
    tuning = make_tuning(Budget("trials", 3), Method("nsga2", objective="accuracy x cost"))
    search = open_search(tuning, tmp_path)
    for value, seconds in [(0.5, 1.0), (0.8, 9.0), (0.6, 20.0)]:
        search.tell(search.ask(), "complete", value, 1.0, seconds, 1.0, 1000)
    assert [t.number for t in search.study.best_trials] == [0, 1]
    assert search.chosen().candidate.number == 1


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_storages_are_read_by_optunas_own_tools(tmp_path: Path, kind: str) -> None:
    url = f"sqlite:///{tmp_path / 'o.db'}" if kind == "sqlite" else "optuna.journal"
    search = open_search(make_tuning(Budget("trials", 3)), tmp_path, url)
    work(search, peak)
    opened = engine.open_storage(url if kind == "sqlite" else str(tmp_path / url))
    (summary,) = optuna.get_all_study_summaries(opened)
    assert summary.study_name == "search" and summary.n_trials == 3
    assert summary.user_attrs["cell"] == "similar-small"


def test_a_storage_that_cannot_be_opened_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"tune\.storage"):
        engine.open_storage("nosuchdatabase://here")


def test_importances_tell_the_hyperparameter_that_matters(tmp_path: Path) -> None:
    search = open_search(make_tuning(Budget("trials", 25), Method(sampler="random")), tmp_path)
    work(search, peak)
    found = search.importances()
    assert max(found, key=found.get) == "full.lr" and sum(found.values()) == pytest.approx(1)
    assert open_search(make_tuning(), tmp_path, "new.journal").importances() == {}

"""Trials of a head trained as one: the same search as one by one, in both stores."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.errors import Diverged
from bench.core.jobs import Stopped
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Tag
from bench.core.spec import RunSpec
from bench.planning import compose
from bench.planning.searches import Budget, Method, Tuning
from bench.storage.places import Places
from bench.tracking import experiment, store
from bench.tracking.plain import Tracking
from bench.training.heads.conditions import NotVectorizable
from bench.training.run.execute import try_out
from bench.training.run.prepared_run import prepare_run
from bench.training.run.together import gather
from bench.tuning import samplers, search
from bench.tuning.engine import Search
from tests.support.trained_searches import ignore, make_search, make_spec, run
from tests.support.tuning_samples import TRAIN, make_tuning, open_search, peak, work

HEAD = "linear_probe + weight_decay"
FEW = {
    "tpe": "n_startup_trials",
    "gp": "n_startup_trials",
    "nsga2": "population_size",
    "nsga3": "population_size",
}
ENDS = (Metric.VAL_ACCURACY, Metric.VAL_NLL, Metric.SAMPLES_SEEN, Metric.PARAMS_TRAINABLE)


def specs(expression: str = HEAD, lrs: tuple[float, ...] = (0.01, 0.1, 0.5), **train: Any) -> list[RunSpec]:
    base = make_spec(train=replace(TRAIN, epochs=3, **train))
    return [replace(base, strategy=compose.parse(expression, {"linear_probe": {"lr": lr}})) for lr in lrs]


class Heard:
    """Records of runs, by epoch."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, dict[str, float]]] = []

    def __call__(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        self.rows.append((epoch, epochs, metrics))


def compared(found: list[Any], expected: list[Any]) -> None:
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (_, _, a), (_, _, b) in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        assert all(math.isnan(b[key]) or a[key] == pytest.approx(b[key], rel=1e-3, abs=1e-5) for key in b), (
            a,
            b,
        )


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"augment": "flip", "class_balance": "loss"},
        {"augment": "crop", "views": 2, "optimizer": "momentum", "schedule": "constant"},
        {"head_bias": "zero", "fit": "train+val", "batch_size": 500},
    ],
    ids=lambda train: "-".join(map(str, train)) or "plain",
)
def test_trials_trained_as_one_are_those_trained_alone(places: Places, train: dict[str, Any]) -> None:
    """Every epoch's metrics and the scores at the end, of rates that differ by a factor of fifty."""
    these = specs(**train)
    heard = [Heard() for _ in these]
    together = gather(these, places)
    assert together
    for k, (spec, outcome) in enumerate(zip(these, together.try_out(heard), strict=True)):
        alone = Heard()
        expected = try_out(spec, places, alone)
        compared(heard[k].rows, alone.rows)
        assert {k: v for k, v in expected.metrics.items() if k in ENDS} == pytest.approx(
            {k: v for k, v in outcome.metrics.items() if k in ENDS}, rel=1e-3, abs=1e-5
        )
        assert outcome.metrics.keys() - expected.metrics.keys() == {Metric.VECTORIZED_RUNS}
        assert outcome.metrics[Metric.VECTORIZED_RUNS] == 3
        assert (outcome.device, outcome.load_table) == (expected.device, expected.load_table)


def test_the_order_and_the_views_are_those_of_the_loop(places: Places) -> None:
    for train in ({"augment": "flip"}, {"augment": "crop", "views": 3}, {"batch_size": 500}):
        (spec,) = specs(lrs=(0.1,), **train)
        one, other = (prepare_run(spec, places, ignore, "none").trainer for _ in range(2))
        (phase,) = compose.build(spec.strategy).phases(one.model, one.task)
        for _ in range(2):
            order, batches = one.batches.epoch_order(), list(other.batches.epoch(other.model, phase))
            assert torch.equal(order.rows, torch.cat([batch.images.numbers for batch in batches]))  # type: ignore[union-attr]
            assert torch.equal(order.y, torch.cat([batch.y for batch in batches]))


def test_one_that_diverges_ends_as_alone_and_leaves_the_others_be(places: Places) -> None:
    these = specs("linear_probe", lrs=(0.1, 1e38, 0.01), optimizer="momentum")
    heard, alone = [Heard() for _ in these], Heard()
    together = gather(these, places)
    assert together
    fine, ended, other = together.try_out(heard)
    with pytest.raises(Diverged) as expected:
        try_out(these[1], places, alone)
    assert isinstance(ended, Diverged)
    assert ended.samples_seen == expected.value.samples_seen and heard[1].rows[-1][0] == alone.rows[-1][0]
    assert str(ended).split(" is ")[0] == str(expected.value).split(" is ")[0]
    for spec, outcome in ((these[0], fine), (these[2], other)):
        assert outcome.metrics[Metric.VAL_NLL] == pytest.approx(  # type: ignore[union-attr]
            try_out(spec, places, ignore).metrics[Metric.VAL_NLL], rel=1e-3
        )


def test_where_all_diverge_all_say_so(places: Places) -> None:
    together = gather(specs("linear_probe", lrs=(1e38, 2e38), optimizer="momentum"), places)
    assert together and all(isinstance(end, Diverged) for end in together.try_out([ignore, ignore]))


@pytest.mark.parametrize(
    ("expression", "lrs", "train", "why"),
    [
        ("full", (0.1, 0.2), {}, "asks for more"),
        ("linear_probe + label_smoothing", (0.1, 0.2), {}, "does more"),
        ("linear_probe + mlp_head", (0.1, 0.2), {}, "does more"),
        ("linear_probe + ema", (0.1, 0.2), {}, "does more"),
        ("logreg", (0.1, 0.2), {}, "asks for more"),
        ("linear_probe", (0.1, 0.0), {}, ""),
        ("linear_probe", (0.1, 0.2), {"precision": "bf16"}, "asks for more"),
        ("linear_probe", (0.1, 0.2), {"augment": "crop"}, "asks for more"),
        ("linear_probe", (0.1, 0.2), {"evaluate": "best"}, "asks for more"),
        ("linear_probe", (0.1, 0.2), {"optimizer": "lamb"}, "no vectorized lamb"),
        ("linear_probe", (0.1, 0.2), {"epochs": 1}, "not cached"),
    ],
)
def test_what_is_more_than_heads_is_trained_alone(
    places: Places, expression: str, lrs: tuple[float, ...], train: dict[str, Any], why: str
) -> None:
    base = make_spec(train=replace(TRAIN, **train))
    these = [
        replace(
            base,
            strategy=compose.parse(expression, {"linear_probe": {"lr": lr}} if "probe" in expression else {}),
        )
        for lr in lrs
    ]
    with pytest.raises(NotVectorizable, match=why):
        gather(these, places)


def test_schedules_of_a_strategy_are_shared_where_they_are_the_same(places: Places) -> None:
    assert gather(specs("linear_probe + step"), places)
    two = [compose.parse("linear_probe + step", {"step": {"factor": f}}) for f in (0.1, 0.2)]
    with pytest.raises(NotVectorizable, match="schedules differ"):
        gather([replace(make_spec(train=TRAIN), strategy=s) for s in two], places)


def test_runs_on_other_images_are_not_one(places: Places) -> None:
    first, second, _ = specs()
    with pytest.raises(NotVectorizable, match="differ in more than their strategies"):
        gather([first, replace(second, seed=1)], places)


def test_a_cache_that_holds_nothing_leaves_each_alone(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE_GIB", "0")
    with pytest.raises(NotVectorizable, match="not cached"):
        gather(specs(), places)


def test_a_mistake_of_ours_is_not_taken_for_a_reason(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with the vectorized heads comes out, of `gather` and in the trials of a search."""

    def broken(*args: Any) -> Any:
        raise TypeError("a bug")

    monkeypatch.setattr("bench.training.heads.runs.factors_of", broken)
    with pytest.raises(TypeError, match="a bug"):
        gather(specs(), places)
    found = run(make_search(make_spec("linear_probe"), trials=3), places, tracking)
    assert found.metrics[Metric.TRIALS_FAILED] == 3
    assert {r.tags[Tag.ERROR] for r in trials_of(tracking.uri)} == {"TypeError: a bug"}


def test_a_strategy_that_raises_is_left_to_its_own_run(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise ValueError("mine")

    monkeypatch.setattr("bench.planning.compose.Composed.finish", broken)
    with pytest.raises(NotVectorizable, match="a strategy raises ValueError: mine"):
        gather(specs(), places)


def trials_of(uri: str) -> list[RunRecord]:
    runs = [r for r in store.read_runs(uri, "s") if Tag.TRIAL in r.tags]
    return sorted(runs, key=lambda r: int(r.tags[Tag.TRIAL]))


def second(tracking: Tracking, tmp_path: Path) -> Tracking:
    uri = f"sqlite:///{tmp_path / 'second.db'}"
    return replace(
        tracking,
        uri=uri,
        experiment_id=experiment.open_store(uri, "s"),
        optuna=str(tmp_path / "second.journal"),
    )


@pytest.mark.parametrize("splits", [1, 2])
def test_a_search_is_the_same_search_whether_trained_as_one_or_not(
    places: Places, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: int
) -> None:
    """Eight trials and more, of which four are drawn blindly: what is asked, found, chosen and logged."""
    train = replace(TRAIN, optimizer="momentum", epochs=3)
    spec = make_spec(HEAD, train=train)
    tuning = make_search(
        spec, trials=6, splits=splits, sampler="tpe", sampler_options={"n_startup_trials": 4}
    )
    found = run(tuning, places, tracking)
    monkeypatch.setattr(search, "AT_MOST", 1)
    expected = run(tuning, places, other := second(tracking, tmp_path))
    assert found.status == expected.status == "finished"
    assert found.chosen == expected.chosen and found.metrics.keys() == expected.metrics.keys()
    ours, theirs = trials_of(tracking.uri), trials_of(other.uri)
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        assert a.params == b.params and a.mlflow_status == b.mlflow_status
        assert a.metrics.get(Metric.VAL_ACCURACY) == b.metrics.get(Metric.VAL_ACCURACY)
    assert [r.metrics.get(Metric.VECTORIZED_RUNS) for r in ours] == [4.0] * 4 + [None] * 2
    assert not any(Metric.VECTORIZED_RUNS in r.metrics for r in theirs)


def test_a_trial_that_diverges_among_others_is_told_as_such(places: Places, tracking: Tracking) -> None:
    spec = make_spec("linear_probe", train=replace(TRAIN, optimizer="momentum"))
    base = make_search(spec)
    tuning = Tuning(
        spec, (replace(base.space[0], choices=(0.1, 1e38)),), Budget("trials", 6), Method("random")
    )
    found = run(tuning, places, tracking)
    states = [r.tags[Tag.STATUS] for r in trials_of(tracking.uri)]
    assert states.count("diverged") == found.metrics[Metric.TRIALS_PRUNED] > 0
    assert states.count("finished") == found.metrics[Metric.TRIALS_COMPLETE] > 0
    ended = next(r for r in trials_of(tracking.uri) if r.tags[Tag.STATUS] == "diverged")
    assert "the training loss is" in ended.tags[Tag.ERROR] or "largest output" in ended.tags[Tag.ERROR]


def test_a_batch_that_breaks_fails_its_trials(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr("bench.training.heads.vectorized.HeadTrainer.epoch", broken)
    found = run(make_search(make_spec("linear_probe"), trials=3), places, tracking)
    assert found.metrics[Metric.TRIALS_FAILED] == 3
    assert {r.tags[Tag.ERROR] for r in trials_of(tracking.uri)} == {"RuntimeError: no"}


def test_a_search_stopped_amid_a_batch_goes_on_to_the_same_choice(
    places: Places, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = make_search(make_spec("linear_probe"), trials=4)
    undisturbed = run(tuning, places, second(tracking, tmp_path))
    with monkeypatch.context() as context:
        context.setattr("bench.training.heads.vectorized.HeadTrainer.evaluate", stop)
        with pytest.raises(Stopped):
            run(tuning, places, tracking)
    assert [r.tags[Tag.STATUS] for r in trials_of(tracking.uri)] == ["killed"] * 4
    found = run(tuning, places, tracking)
    assert found.chosen == undisturbed.chosen
    states = [r.tags[Tag.STATUS] for r in trials_of(tracking.uri)]
    assert sorted(states) == ["finished"] * 4 + ["killed"] * 4
    assert not any(r.mlflow_status == "RUNNING" for r in store.read_runs(tracking.uri, "s"))


def stop(*args: Any) -> Any:
    raise Stopped


def draws(search: Search) -> list[dict[str, Any]]:
    return [t.params for t in search.counted]


@pytest.mark.parametrize("sampler", [*samplers.SAMPLERS, "design"])
def test_asked_together_trials_are_those_asked_one_by_one(tmp_path: Path, sampler: str) -> None:
    options = {FEW[sampler]: 6} if sampler in FEW else None
    tuning = make_tuning(Budget("trials", 11), Method(sampler, options))
    work(one_by_one := open_search(tuning, tmp_path, "a.journal"), peak)
    together, asked = open_search(tuning, tmp_path, "b.journal"), []
    while trials := together.ask_together(32):
        asked.append(len(trials))
        for trial in trials:
            together.tell(trial, "complete", peak(trial.params), 1.0, 1.0, 1.0, 1000)
    assert draws(together) == draws(one_by_one) and together.used_up
    expected = {"random": [11], "qmc": [11], "cmaes": [1] * 11, "design": [3, *[1] * 8]}
    assert asked == expected.get(sampler, [6, 1, 1, 1, 1, 1])


def test_failed_trials_among_the_first_change_nothing_that_is_asked(tmp_path: Path) -> None:
    tuning = make_tuning(Budget("trials", 9), Method("tpe", {"n_startup_trials": 5}))
    searches = [open_search(tuning, tmp_path, f"{i}.journal") for i in range(2)]
    for search_, at_most in zip(searches, (1, 32), strict=True):
        while trials := search_.ask_together(at_most):
            for t in trials:
                search_.tell(
                    t, "failed" if t.number in (1, 3) else "complete", peak(t.params), 1.0, 1.0, 1.0, 1000
                )
    assert draws(searches[0]) == draws(searches[1])


@pytest.mark.parametrize(
    ("budget", "method"),
    [
        (Budget("seconds", 10.0), Method("random")),
        (Budget("samples_seen", 100), Method("random")),
        (Budget("trials", 9), Method("random", pruner="median")),
    ],
)
def test_trials_that_wait_for_others_are_asked_one_by_one(
    tmp_path: Path, budget: Budget, method: Method
) -> None:
    assert len(open_search(make_tuning(budget, method), tmp_path).ask_together(32)) == 1


def test_trials_are_left_for_another_worker(tmp_path: Path) -> None:
    tuning = make_tuning(Budget("trials", 9), Method("random"))
    open_search(tuning, tmp_path).ask()
    assert len(open_search(tuning, tmp_path).ask_together(32)) == 1


def test_whoever_is_stopped_gives_up_all_that_it_asked_for(tmp_path: Path) -> None:
    tuning = make_tuning(Budget("trials", 5), Method("random"))
    first = open_search(tuning, tmp_path)
    asked = [trial.params for trial in first.ask_together(3)]
    first.give_up()
    again = open_search(tuning, tmp_path)
    assert [trial.params for trial in again.ask_together(32)][:3] == asked and again.counted == []

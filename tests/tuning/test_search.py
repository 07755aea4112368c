"""The worker's job: trials that really train, logged nested in MLflow, without a look at a test image."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from bench.core.errors import Pruned
from bench.core.jobs import Stopped
from bench.core.schema import Metric, Tag
from bench.core.spec import RunSpec
from bench.planning import compose
from bench.planning.searches import final
from bench.storage.places import Places
from bench.tracking import experiment, store
from bench.tracking.plain import Tracking
from bench.tracking.runs import Tracker
from bench.training.run import ingredients
from bench.training.run.execute import execute, try_out
from bench.tuning import engine, search
from tests.support.trained_searches import ROW, ignore, make_search, make_spec, run
from tests.support.tuning_samples import TRAIN


def test_a_search_is_a_run_with_its_trials_nested_in_it(places: Places, tracking: Tracking) -> None:
    result = run(make_search(make_spec("full + l2_sp")), places, tracking)
    assert result.status == "finished"
    runs = store.read_runs(tracking.uri, "s")
    (parent,) = [r for r in runs if r.tags[Tag.PURPOSE] == "tuning"]
    trials = [r for r in runs if r.tags[Tag.PURPOSE] == "trial"]
    assert {r.tags[Tag.PARENT] for r in trials} == {parent.mlflow_run_id}
    assert [r.tags[Tag.TRIAL] for r in trials] == ["0", "1", "2"]
    assert trials[0].params["hyperparameter.full.lr"] == str(
        compose.parse("full", {}).freeze.hyperparameters["lr"]
    )
    chosen = json.loads(parent.tags[Tag.CHOSEN])
    assert chosen == result.chosen and set(chosen) == {"full.lr", "l2_sp.alpha", "l2_sp.beta"}
    assert parent.metrics[Metric.TRIALS_COMPLETE] == 3
    assert parent.metrics[Metric.TUNED_VAL_ACCURACY] == max(r.metrics["val_accuracy"] for r in trials)
    assert parent.metrics[Metric.DEFAULT_VAL_ACCURACY] == trials[0].metrics["val_accuracy"]
    assert "log" in parent.params["search.full.lr"]
    assert not any(key.startswith("test") for r in runs for key in r.metrics), "a search knows no test score"


def test_workers_that_share_a_search_find_one_run_of_it(places: Places, tracking: Tracking) -> None:
    """The driver opens it before any of them begins."""
    tuning = make_search(make_spec())
    Tracker(tracking.uri, tracking.experiment_id).open_search(ROW, tuning)
    with ThreadPoolExecutor(4) as pool:
        trackers = [Tracker(tracking.uri, tracking.experiment_id) for _ in range(4)]
        found = set(pool.map(lambda tracker: tracker.open_search(ROW, tuning), trackers))
    assert len(found) == 1


def test_searches_of_two_studies_in_one_storage_are_two(places: Places, tracking: Tracking) -> None:
    tuning = make_search(make_spec(), trials=1)
    for name in ("a", "b"):
        assert run(tuning, places, replace(tracking, study=name)).metrics[Metric.TRIALS_COMPLETE] == 1
    assert len(optuna.get_all_study_names(engine.open_storage(tracking.optuna))) == 2


def test_a_search_opens_no_test_images(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever maps arrays into memory is told of each file; a run that counts opens them, with its last line."""
    opened: list[str] = []

    def load(path: Path, *args: Any, real: Any = np.load, **kwargs: Any) -> Any:
        opened.append(Path(path).name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(np, "load", load)
    assert run(make_search(make_spec()), places, tracking).status == "finished"
    assert "pool.npy" in opened and not [name for name in opened if name.startswith("test")]
    execute(make_spec(), places, ignore)
    assert "test.npy" in opened


def test_a_trial_is_trained_as_the_run_that_counts(places: Places) -> None:
    spec = make_spec()
    trial, counted = try_out(spec, places, ignore).metrics, execute(spec, places, ignore).metrics
    assert trial[Metric.VAL_NLL] == counted[Metric.VAL_NLL] and Metric.TEST_ACCURACY not in trial


def test_splits_divide_the_same_images_differently(places: Places) -> None:
    spec = make_spec()
    data = ingredients.prepare_dataset(spec.dataset, spec.backbone, TRAIN.image_size, places)
    tasks = [ingredients.make_task(data, replace(spec, split=j)) for j in range(3)]

    def content(*sets: Any) -> list[bytes]:
        return sorted(x.numpy().tobytes() for images in sets for x in images.x)

    assert len({tuple(content(t.train, t.val)) for t in tasks}) == 1, "no label beyond the n per class"
    assert len({tuple(content(t.val)) for t in tasks}) == 3
    for task in tasks:
        assert not set(content(task.train)) & set(content(task.val))
        assert task.val.class_counts(10).tolist() == [2] * 10


def test_the_final_run_trains_on_all_its_labelled_images(places: Places) -> None:
    spec = make_spec("logreg")
    data = ingredients.prepare_dataset(spec.dataset, spec.backbone, TRAIN.image_size, places)
    apart, joint = (ingredients.make_task(data, final(spec, spec.strategy, refit)) for refit in (False, True))
    assert (len(apart.train), len(apart.val), len(joint.train)) == (80, 20, 100)
    assert [len(images) for images in joint.disjoint] == [80, 20]
    refit = execute(final(spec, spec.strategy, True), places, ignore).metrics
    assert Metric.VAL_ACCURACY not in refit, "they were trained on"
    # the logistic regression chooses C on the one part and ends with both, as all others do here, and only here
    assert refit[Metric.TEST_NLL] != execute(spec, places, ignore).metrics[Metric.TEST_NLL]


def test_a_trial_over_several_splits_is_their_mean(places: Places, tracking: Tracking) -> None:
    tuning = make_search(make_spec(), trials=1, splits=3)
    each = [try_out(tuning.trial({}, j), places, ignore).metrics[Metric.VAL_ACCURACY] for j in range(3)]
    found = run(tuning, places, tracking)
    assert found.metrics[Metric.TUNED_VAL_ACCURACY] == pytest.approx(sum(each) / 3) and len(set(each)) > 1


@pytest.mark.parametrize(("pruner", "splits"), [("median", 1), ("wilcoxon", 4)])
def test_a_pruned_trial_says_so_in_both_stores(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, pruner: str, splits: int
) -> None:
    tuning = make_search(make_spec(), trials=2, pruner=pruner, splits=splits)
    reported = []

    def should_prune(trial: Any) -> bool:
        steps = list(trial.storage.get_trial(trial._trial_id).intermediate_values)
        reported.append((trial.number, steps))
        return trial.number == 1 and len(steps) == 2

    monkeypatch.setattr("optuna.trial.Trial.should_prune", should_prune)
    found = run(tuning, places, tracking)
    assert found.metrics[Metric.TRIALS_PRUNED] == 1 and found.metrics[Metric.TRIALS_COMPLETE] == 1
    assert reported[-1] == (1, [0, 1] if pruner == "wilcoxon" else [1, 2]), (
        "split by split, or epoch by epoch"
    )
    states = [r.tags[Tag.STATUS] for r in store.read_runs(tracking.uri, "s") if Tag.TRIAL in r.tags]
    assert states == ["finished", "pruned"]


def test_a_trial_that_diverges_or_fails_is_counted_and_the_search_goes_on(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = make_search(replace(make_spec()), trials=3)
    real = search.try_out

    def faulty(spec: RunSpec, *args: Any) -> Any:
        if spec.strategy.freeze.hyperparameters["lr"] != tuning.defaults["full.lr"]:
            raise RuntimeError("out of luck")
        return real(spec, *args)

    monkeypatch.setattr(search, "try_out", faulty)
    found = run(tuning, places, tracking)
    assert found.metrics[Metric.TRIALS_FAILED] == 2 and found.chosen == tuning.defaults
    errors = [r.tags.get(Tag.ERROR) for r in store.read_runs(tracking.uri, "s") if Tag.TRIAL in r.tags]
    assert errors == [None, "RuntimeError: out of luck", "RuntimeError: out of luck"]


def test_a_search_of_which_nothing_came_has_failed(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(search, "try_out", broken)
    found = run(make_search(make_spec()), places, tracking)
    assert found.status == "failed" and "none of 3 trials is complete" in found.error
    (parent,) = [r for r in store.read_runs(tracking.uri, "s") if r.tags[Tag.PURPOSE] == "tuning"]
    assert Tag.CHOSEN not in parent.tags, "it is tried again by the next call"


def test_a_stopped_search_goes_on_in_the_same_run_to_the_same_choice(
    places: Places, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = make_search(make_spec(), trials=4)
    undisturbed = run(tuning, places, replace(tracking, optuna=str(tmp_path / "other.journal")))
    real, calls = search.try_out, []

    def stopped(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise Stopped
        return real(*args)

    uri = f"sqlite:///{tmp_path / 'second.db'}"
    second = replace(tracking, uri=uri, experiment_id=experiment.open_store(uri, "s"))
    monkeypatch.setattr(search, "try_out", stopped)
    with pytest.raises(Stopped):
        run(tuning, places, second)
    found = run(tuning, places, second)
    assert found.chosen == undisturbed.chosen and len(calls) == 5
    runs = store.read_runs(uri, "s")
    states = [r.tags[Tag.STATUS] for r in runs if Tag.TRIAL in r.tags]
    assert sorted(states) == ["finished"] * 4 + ["killed"]
    assert [r.mlflow_status for r in runs if r.tags[Tag.PURPOSE] == "tuning"] == ["FINISHED"]


def test_what_is_pruned_says_how_much_it_has_cost(places: Places) -> None:
    def stop(epoch: int, *args: Any) -> None:
        raise Pruned("enough")

    with pytest.raises(Pruned) as told:
        try_out(make_spec(), places, stop)
    assert told.value.samples_seen == 80, "one epoch of the training images"

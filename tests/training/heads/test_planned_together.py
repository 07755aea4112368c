"""Planned runs of a head that differ in hyperparameters alone: one job, trained as one, each a run of its own in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.jobs import Stopped
from bench.core.records.planned import PlannedRow
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Tag
from bench.core.spec import RunSpec, TrainSpec
from bench.execution import worker
from bench.planning import compose, load, plan
from bench.planning.grouping import AT_MOST, grouped
from bench.storage.places import Places
from bench.tracking import experiment, store
from bench.tracking.plain import Tracking
from bench.training.run.together import gather
from tests.conftest import TINY_STUDY
from tests.support.tiny_study import final_runs, start, wait_for
from tests.support.trained_searches import ROW, make_spec

LRS = (0.01, 0.1, 1e38, 0.5)
TRAIN = TrainSpec(epochs=3, batch_size=16, optimizer="momentum", image_size=32, fit="train+val")
EXACT = (Metric.TEST_ACCURACY, Metric.TEST_NLL, Metric.TEST_ECE, Metric.SAMPLES_SEEN)
PROBES = "strategies:\n" + "".join(
    f"  - {{use: linear_probe, label: probe {lr}, hyperparameters: {{linear_probe: {{lr: {lr}}}}}}}\n"
    for lr in (0.01, 0.02, 0.05)
)
SWEEP = f"""
name: tiny
datasets:
  - name: synthetic/fine
    options: {{pool_per_class: 12, test_per_class: 5}}
    similarity: similar
    n_per_class: [10]
backbones:
  - {{name: test_resnet, random: true}}
{PROBES}
seeds: 2
train: {{image_size: 32, precision: fp32, batch_size: 16, epochs: 3}}
system_metrics: false
"""


def planned() -> list[tuple[RunSpec, PlannedRow]]:
    found = []
    for lr in LRS:
        spec = replace(
            make_spec(train=TRAIN), strategy=compose.parse("linear_probe", {"linear_probe": {"lr": lr}})
        )
        found.append((spec, replace(ROW, run_id=spec.run_id, strategy=f"probe {lr}")))
    return found


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("together")
    return Places(folder, folder / "cache")


@pytest.fixture
def tracking(tmp_path: Path) -> Tracking:
    return make_tracking(tmp_path / "mlflow.db")


def make_tracking(file: Path) -> Tracking:
    uri = f"sqlite:///{file}"
    return Tracking(uri, experiment.open_store(uri, "s"), False, "none", study="s")


def ignore(*args: Any) -> None:
    return None


def stored(tracking: Tracking) -> dict[str, RunRecord]:
    runs = store.read_runs(tracking.uri, "s")
    assert len({run.tags[Tag.RUN_ID] for run in runs}) == len(runs)
    return {run.tags[Tag.RUN_ID]: run for run in runs}


def test_runs_trained_as_one_are_those_run_alone(places: Places, tracking: Tracking, tmp_path: Path) -> None:
    """Results, statuses and what the store says; one of them diverges. Done again, nothing is."""
    found = worker.run_together(ignore, planned(), places, tracking)
    other = make_tracking(tmp_path / "other.db")
    expected = [worker.run(ignore, spec, row, places, other) for spec, row in planned()]
    assert [r.status for r in found] == ["finished", "finished", "diverged", "finished"]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.status == theirs.status and bool(ours.error) == bool(theirs.error)
        for key in EXACT if theirs.metrics else ():
            assert ours.metrics[key] == pytest.approx(theirs.metrics[key], rel=1e-3, abs=1e-5)
    a, b = stored(tracking), stored(other)
    assert a.keys() == b.keys()
    for key, run in a.items():
        assert run.params == b[key].params and run.mlflow_status == b[key].mlflow_status
        assert run.metrics.keys() - {Metric.VECTORIZED_RUNS} == b[key].metrics.keys()
    again = worker.run_together(ignore, planned(), places, tracking)
    assert [r.status for r in again] == [r.status for r in found]
    assert {k: r.mlflow_run_id for k, r in stored(tracking).items()} == {
        k: r.mlflow_run_id for k, r in a.items()
    }


def test_gradients_are_clipped_as_alone(places: Places, tracking: Tracking, tmp_path: Path) -> None:
    clipped = [(replace(s, train=replace(TRAIN, clip_grad=0.05)), row) for s, row in planned()[:2]]
    runs = [(spec, replace(row, run_id=spec.run_id)) for spec, row in clipped]
    found = worker.run_together(ignore, runs, places, tracking)
    other = make_tracking(tmp_path / "other.db")
    for ours, (spec, row) in zip(found, runs, strict=True):
        theirs = worker.run(ignore, spec, row, places, other)
        assert ours.metrics[Metric.VECTORIZED_RUNS] == 2
        assert ours.metrics[Metric.TEST_NLL] == pytest.approx(theirs.metrics[Metric.TEST_NLL], rel=1e-3)


@pytest.mark.parametrize("network", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_every_family_can_be_trained_as_one(network: str, places: Places) -> None:
    specs = [replace(spec, backbone=replace(spec.backbone, name=network)) for spec, _ in planned()[:2]]
    assert gather(specs, places)


def test_each_pays_for_what_it_would_have_done_alone_and_its_share_of_the_rest(
    places: Places, tracking: Tracking
) -> None:
    fresh = Places(places.base, places.cache.parent / "fresh")
    costs = [r.metrics for r in worker.run_together(ignore, planned(), fresh, tracking) if r.metrics]
    assert len(costs) == 3 and len({c[Metric.TRAIN_SECONDS] for c in costs}) == 1
    cost = costs[0]
    assert cost[Metric.VECTORIZED_RUNS] == 4 and cost[Metric.CACHED_FEATURE_SECONDS] == 0
    parts = (Metric.PREPARE_SECONDS, Metric.TRAIN_SECONDS, Metric.EVAL_SECONDS)
    assert all(cost[part] > 0 for part in parts)
    assert sum(cost[part] for part in parts) == pytest.approx(cost[Metric.TOTAL_SECONDS], rel=0.1)


def test_runs_that_are_stopped_are_all_killed(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any) -> Any:
        raise Stopped

    monkeypatch.setattr("bench.training.heads.vectorized.HeadTrainer.evaluate", stop)
    with pytest.raises(Stopped):
        worker.run_together(ignore, planned(), places, tracking)
    assert [(r.mlflow_status, r.tags[Tag.STATUS]) for r in stored(tracking).values()] == [
        ("KILLED", "killed")
    ] * 4


def test_what_cannot_be_trained_as_one_is_run_one_by_one(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE_GIB", "0")
    found = worker.run_together(ignore, planned()[:2], places, tracking)
    assert [r.status for r in found] == ["finished"] * 2
    assert not any(Metric.VECTORIZED_RUNS in r.metrics for r in found)
    why = {run.tags[Tag.NOT_VECTORIZED] for run in stored(tracking).values()}
    assert why == {"the classifier's input is not cached"}, "each says so"


def test_a_mistake_of_ours_fails_the_runs_with_its_traceback(
    places: Places, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise TypeError("a bug")

    monkeypatch.setattr("bench.training.heads.runs.update_rule_of", broken)
    found = worker.run_together(ignore, planned()[:2], places, tracking)
    assert [r.status for r in found] == ["failed"] * 2
    assert {r.error for r in found} == {"training 2 runs as one: TypeError: a bug"}
    assert {run.tags[Tag.STATUS] for run in stored(tracking).values()} == {"failed"}


def test_only_runs_that_differ_in_hyperparameters_alone_are_grouped(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    more = "  - linear_probe + weight_decay\n  - full\n  - {use: full, label: other, hyperparameters: {full: {lr: 0.1}}}\n"
    head, rest = TINY_STUDY.split("strategies:")
    path.write_text(head + PROBES + more + "seeds: 2\n" + rest.split("seeds: 2\n")[1])
    runs = plan.make(load.load(path), path, tmp_path).runs
    groups = grouped(runs)
    assert sorted(run.run_id for group in groups for run in group) == sorted(run.run_id for run in runs)
    assert sorted(map(len, groups)) == [1] * 18 + [3] * 6, "three sizes and data sets, two seeds"
    for group in groups:
        assert len({(r.dataset, r.images_per_class, r.spec.seed) for r in group}) == 1
    many = [replace(runs[0], run_id=str(i)) for i in range(AT_MOST + 1)]
    assert [len(group) for group in grouped(many)] == [AT_MOST, 1]


@pytest.mark.long
def test_a_sweep_that_is_killed_goes_on_to_its_end(tmp_path: Path) -> None:
    """SIGKILL once its runs have begun, then the same command: each run once, trained as one, none left running."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(SWEEP)
    driver = start(folder, seeds=2)
    assert wait_for(lambda: len(final_runs(folder)) > 1 or driver.poll() is not None, 120)
    driver.kill()
    driver.wait(10)
    assert start(folder, seeds=2).wait(120) == 0, (folder / "log.txt").read_text()
    runs = final_runs(folder)
    finished = [run for run in runs if run.mlflow_status == "FINISHED"]
    assert len(finished) == len({run.tags[Tag.RUN_ID] for run in finished}) == 6
    assert {run.mlflow_status for run in runs} <= {"FINISHED", "KILLED"}
    assert Metric.VECTORIZED_RUNS in finished[-1].metrics
    assert "probe 0.05" in (folder / "log.txt").read_text(), "each is told by its name"

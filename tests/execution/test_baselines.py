"""Scores of unchanged networks in a study: runs do not wait for them, and every finished run has one in the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.jobs import Ended, Job
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Tag
from bench.execution import baselines, driver, state, worker
from bench.execution.baselines import Baselines, key_of
from bench.execution.executors.inline import InlineExecutor
from bench.planning import load, plan
from bench.planning.plan import Plan
from bench.storage.places import Places
from bench.tracking import store
from tests.support.displays import Says

pytestmark = pytest.mark.usefixtures("unmeasured")

STUDY = """
name: scored
datasets:
  - {name: synthetic/fine, options: {pool_per_class: 7, test_per_class: 2}, similarity: similar, n_per_class: [5, 6]}
backbones: [{name: test_resnet, random: true}]
strategies: [full, linear_probe, {label: diverges, use: full, hyperparameters: {full: {lr: 1.0e+30}}}]
seeds: 2
train: {image_size: 32, precision: fp32, batch_size: 16, epochs: 1}
system_metrics: false
"""


def made(folder: Path) -> Plan:
    path = folder / "scored.yaml"
    path.write_text(STUDY)
    return plan.make(load.load(path), path, folder / "cache")


def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def call(folder: Path) -> driver.Summary:
    return driver.run_study(made(folder), uri(folder), InlineExecutor, Says(), None)  # type: ignore[arg-type]


def finished(folder: Path) -> list[RunRecord]:
    return store.read_runs(uri(folder), "scored", tagged={Tag.STATUS: ["finished"], Tag.PURPOSE: ["final"]})


def scored(folder: Path) -> list[bool]:
    return [Metric.NCM_TEST_ACCURACY in run.metrics for run in finished(folder)]


def test_every_finished_run_has_its_score_and_none_computed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    scores, executed = worker.score_unchanged, worker.run

    def score(emit: Any, spec: Any, places: Any) -> Any:
        order.append("score")
        return scores(emit, spec, places)

    def run(*args: Any) -> Any:
        order.append("run")
        return executed(*args)

    monkeypatch.setattr(worker, "score_unchanged", score)
    monkeypatch.setattr(worker, "run", run)
    summary = call(tmp_path)
    assert summary.counts["finished"] == len(finished(tmp_path)) >= 8 and all(scored(tmp_path))
    assert order.count("score") == 4, "once for two sizes and two seeds, not for each strategy"
    assert order[0] == "run", "a run is begun before"
    by_condition: dict[Any, set[float]] = {}
    for run_ in finished(tmp_path):
        tags = run_.tags
        key = tags[Tag.N_PER_CLASS], tags[Tag.SEED]
        by_condition.setdefault(key, set()).add(run_.metrics[Metric.NCM_TEST_ACCURACY])
    assert len(by_condition) == 4 and all(len(values) == 1 for values in by_condition.values())
    order.clear()
    assert call(tmp_path).counts == {} and not order, "a second call does nothing"


def test_what_a_killed_driver_did_not_log_is_logged_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # as if it had died before the end
        patch.setattr(driver.Call, "_log_scores", lambda *_: None)
        patch.setattr(Baselines, "jobs", lambda *_: [])
        call(tmp_path)
    assert not any(scored(tmp_path))
    assert len(state.read(made(tmp_path), uri(tmp_path)).unscored) == len(scored(tmp_path))
    assert call(tmp_path).counts == {} and all(scored(tmp_path))
    assert not state.read(made(tmp_path), uri(tmp_path)).unscored


def test_interrupted_the_runs_that_ended_have_what_was_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = Baselines.take_in

    def interrupt(self: Baselines, event: Ended) -> str | None:
        take_in(self, event)
        raise KeyboardInterrupt

    monkeypatch.setattr(Baselines, "take_in", interrupt)
    assert call(tmp_path).interrupted
    assert scored(tmp_path) and any(scored(tmp_path))


def test_a_score_that_cannot_be_had_is_told_and_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("no room for it")

    monkeypatch.setattr(worker, "score_unchanged", crash)
    says = Says()
    summary = driver.run_study(made(tmp_path), uri(tmp_path), InlineExecutor, says, None)  # type: ignore[arg-type]
    assert summary.exit_code == 0 and not any(scored(tmp_path))
    assert sum("missing: RuntimeError: no room for it" in line for line in says.said) == 4


def test_the_key_is_of_all_that_decides_the_score(tmp_path: Path) -> None:
    """As the cache's own: what shares a key shares the file, and what differs in one does in the other."""
    spec = made(tmp_path).runs[0].spec
    others = [
        replace(spec, seed=5),
        replace(spec, n_per_class=3),
        replace(spec, split=1),
        replace(spec, backbone=replace(spec.backbone, kwargs={"drop_rate": 0.5})),
        replace(spec, train=replace(spec.train, val_share=0.4)),
        replace(spec, train=replace(spec.train, fit="train+val")),
        replace(spec, train=replace(spec.train, image_size=64)),
    ]
    assert len({key_of(other) for other in [spec, *others]}) == len(others) + 1
    same = [
        replace(spec, train=replace(spec.train, epochs=9)),
        replace(spec, backbone=replace(spec.backbone, label="other")),
    ]
    assert {key_of(other) for other in same} == {key_of(spec)}


def test_out_of_memory_is_no_score(tmp_path: Path) -> None:
    own = Baselines(Places(tmp_path, tmp_path))
    job = Job("unchanged:abc", baselines.FUNCTION, (), "x")
    assert own.take_in(Ended(job, 0, result=None)) == "out of memory" and not own.found
    assert own.take_in(Ended(job, 0, result=0.0)) is None and own.found == {"abc": 0.0}

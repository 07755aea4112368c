"""A tuned study from the command line: searched, stopped by SIGKILL, gone on with, made larger."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Tag
from bench.tracking import store
from tests.conftest import ROOT
from tests.support.commands import BENCH, bench
from tests.support.tuned_study import STUDY


def runs(folder: Path, purpose: str) -> list[RunRecord]:
    found = store.read_runs(f"sqlite:///{folder / 'mlflow.db'}", "tuned")
    return [run for run in found if run.tags.get(Tag.PURPOSE) == purpose]


def chosen(folder: Path) -> str:
    (search,) = runs(folder, "tuning")
    return search.tags[Tag.CHOSEN]


def numbers(folder: Path) -> dict[str, float]:
    finished = [run for run in runs(folder, "final") if run.mlflow_status == "FINISHED"]
    assert len({run.tags[Tag.RUN_ID] for run in finished}) == len(finished), "each run once"
    return {run.tags[Tag.RUN_ID]: run.metrics[Metric.TEST_NLL] for run in finished}


@pytest.fixture(scope="module")
def finished(tuned_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, which tests go on with."""
    folder = tmp_path_factory.mktemp("finished")
    return Path(shutil.copytree(tuned_study, folder / "tuned"))


def test_a_tuned_study_searches_and_then_runs_what_was_chosen(finished: Path) -> None:
    assert len(runs(finished, "trial")) == 4 and len(runs(finished, "tuning")) == 1
    hyperparameters = json.loads(chosen(finished))
    tuned = [run for run in runs(finished, "final") if run.tags[Tag.SETTING] == "tuned"]
    assert len(tuned) == 2
    both = [run for run in runs(finished, "final") if run.tags[Tag.SETTING] == "both"]
    assert {run.tags[Tag.STRATEGY] for run in both} == {"logreg"} and len(both) == 2
    for run in tuned:
        assert {k: float(run.params[f"hyperparameter.{k}"]) for k in hyperparameters} == pytest.approx(
            hyperparameters
        )
        assert run.params["train.fit"] == "train+val" and Metric.VAL_ACCURACY not in run.metrics
    rows = json.loads(bench(finished, "runs", "tuned", "--json").stdout)
    settings = sorted((row["strategy"], row["setting"], row["status"]) for row in rows)
    assert settings == [
        *[("full + head_x10", "default", "finished")] * 2,
        *[("full + head_x10", "tuned", "finished")] * 2,
        *[("logreg", "default", "finished")] * 2,
        *[("logreg", "tuned", "finished")] * 2,  # nothing to search: the same runs
    ]
    assert len({row["run_id"] for row in rows}) == 6


def test_a_second_call_does_nothing_and_more_trials_go_on(finished: Path) -> None:
    again = bench(finished, "run", "tuned.yaml")
    assert again.returncode == 0 and "0 missing" in again.stdout and len(runs(finished, "trial")) == 4
    more = bench(finished, "run", "tuned.yaml", "--set", "tune.trials=6", "--workers", "0", "--no-report")
    assert more.returncode == 0, more.stdout + more.stderr
    trials = runs(finished, "trial")
    assert sorted(int(run.tags[Tag.TRIAL]) for run in trials) == list(range(6))
    assert len(runs(finished, "tuning")) == 1


@pytest.mark.long
def test_a_killed_search_ends_as_if_it_had_not_been_killed(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text(STUDY)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_CACHE": str(finished / ".bench-cache")}
    env.pop("MLFLOW_TRACKING_URI", None)
    driver = subprocess.Popen(
        [*BENCH, "run", "tuned.yaml", "--workers", "1"],
        cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not ((tmp_path / "mlflow.db").exists() and len(runs(tmp_path, "trial")) >= 2):
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert len(runs(tmp_path, "trial")) < 4 and not runs(tmp_path, "final"), "it was killed in the search"
    again = bench(tmp_path, "run", "tuned.yaml", "--workers", "2")
    assert again.returncode == 0, again.stdout + again.stderr
    done = [run for run in runs(tmp_path, "trial") if run.tags[Tag.STATUS] == "finished"]
    assert len(done) == 4 and not [r for r in runs(tmp_path, "trial") if r.mlflow_status == "RUNNING"]
    fresh = numbers(finished)
    assert numbers(tmp_path).items() <= fresh.items() and len(numbers(tmp_path)) == 6


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tune.sampler=annealing", "Optuna has no sampler 'annealing'"),
        ("tune.pruner=wilcoxon", "set tune.splits to 2"),
        ("tune.storage=sqlite:///mlflow.db", "cannot share a database"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(
    tmp_path: Path, setting: str, message: str
) -> None:
    (tmp_path / "tuned.yaml").write_text(STUDY.replace("trials: 4", "trials: 4, splits: 1"))
    result = bench(tmp_path, "run", "tuned.yaml", "--set", setting, "--workers", "1")
    assert result.returncode == 2 and message in result.stderr
    assert not (tmp_path / "mlflow.db").exists()

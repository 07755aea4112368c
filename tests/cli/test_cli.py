"""The command line from outside: exit codes, messages, a whole tiny study, and what ends up in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.tracking import store
from tests.conftest import TINY_STUDY
from tests.support.commands import bench


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny study has run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    result = bench(folder, "run", "tiny.yaml", "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "12 finished" in result.stdout
    return folder


def runs(folder: Path) -> list[dict[str, Any]]:
    result = bench(folder, "runs", "tiny", "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_run_is_listed_with_its_numbers(finished: Path) -> None:
    rows = runs(finished)
    assert len(rows) == 12 and len({r["run_id"] for r in rows}) == 12
    for row in rows:
        assert row["status"] == "finished"
        assert 0 <= row["val_accuracy"] <= 1 and 0 <= row["test_accuracy"] <= 1
        assert row["train_seconds"] > 0 and row["peak_memory_bytes"] > 1e8
        assert {"dataset", "similarity", "n_per_class", "backbone", "strategy", "seed"} <= set(row)


def test_a_second_run_does_nothing_and_reports_again(finished: Path) -> None:
    before = store.read_runs(f"sqlite:///{finished / 'mlflow.db'}", "tiny")
    result = bench(finished, "run", "tiny.yaml")
    assert result.returncode == 0 and "0 missing" in result.stdout
    after = store.read_runs(f"sqlite:///{finished / 'mlflow.db'}", "tiny")
    assert len(after) == len(before)


def test_mlflow_holds_params_tags_metrics_and_the_report(finished: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None and "cell" in experiment.tags["mlflow.note.content"]
    ids = [experiment.experiment_id]
    found = client.search_runs(ids, "tags.cell = 'dissimilar-small' and tags.strategy = 'full + head_x10'")
    assert len(found) == 2
    run = found[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["hyperparameter.full.lr"] == "0.001" and run.data.params["train.epochs"] == "2"
    assert run.data.tags["freeze"] == "full" and run.data.tags["lr_policy"] == "head_x10"
    history = client.get_metric_history(run.info.run_id, "val/accuracy")
    assert [m.step for m in history] == [1, 2]
    rates = {k: v for k, v in run.data.metrics.items() if k.startswith("lr/")}
    assert rates["lr/head"] == pytest.approx(10 * rates["lr/stage0"])
    assert run.data.metrics["params_trainable"] == run.data.metrics["params_total"]
    assert run.data.metrics["forward_flops_per_image"] > 1e6
    (study,) = client.search_runs(ids, "tags.purpose = 'study'")
    assert {a.path for a in client.list_artifacts(study.info.run_id, "report")} >= {
        "report/report.md",
        "report/report.html",
    }


def test_seeds_and_strategies_are_paired(finished: Path) -> None:
    """The probe starts from the same backbone and head whatever else runs: a second study agrees to the last digit."""
    (finished / "again.yaml").write_text(TINY_STUDY.replace("name: tiny", "name: again"))
    less = ["--set", "seeds=[1]", "--set", "datasets.1.n_per_class=5"]
    result = bench(finished, "run", "again.yaml", "--no-report", "--workers", "0", *less)
    assert result.returncode == 0, result.stderr
    again = json.loads(bench(finished, "runs", "again", "--json").stdout)
    first = {r["run_id"]: r for r in runs(finished)}
    assert len(again) == 6
    assert all(r["test_nll"] == pytest.approx(first[r["run_id"]]["test_nll"], rel=1e-3) for r in again)


def test_the_report_can_be_written_again_and_runs_as_csv(finished: Path) -> None:
    result = bench(finished, "report", "tiny", "--out", "elsewhere")
    assert result.returncode == 0
    text = (finished / "elsewhere" / "tiny" / "report.md").read_text()
    assert "linear_probe" in text and "matrix.png" in text
    lines = bench(finished, "runs", "tiny", "--csv").stdout.strip().splitlines()
    assert len(lines) == 13 and lines[0].startswith("run_id,status")


def test_a_failing_strategy_is_a_failed_run_and_exit_1(finished: Path) -> None:
    """A learning rate that explodes is a diverged run; the study goes on."""
    wild = ["--set", "name=wild", "--set", "hyperparameters.full.lr=1e18", "--set", "seeds=1"]
    result = bench(finished, "run", "tiny.yaml", "--no-report", "--workers", "0", *wild)
    assert result.returncode == 0, result.stderr
    rows = json.loads(bench(finished, "runs", "wild", "--json").stdout)
    assert {r["status"] for r in rows if r["strategy"] == "linear_probe"} == {"finished"}
    assert {r["status"] for r in rows if r["strategy"] != "linear_probe"} == {"diverged"}


def test_plan_says_what_is_done(finished: Path) -> None:
    planned = json.loads(bench(finished, "plan", "tiny.yaml", "--json", "--set", "seeds=3").stdout)
    assert (planned["done"], planned["missing"]) == (12, 6)
    assert planned["estimated_seconds"] > 0
    assert bench(finished, "run", "tiny.yaml", "--dry-run").returncode == 0


def test_unknown_names_on_the_command_line(finished: Path) -> None:
    for command in (["runs", "tinny"], ["report", "tinny"]):
        result = bench(finished, *command)
        assert result.returncode == 2 and "tiny" in result.stderr, result.stderr
    result = bench(finished, "run", "tinny.yaml")
    assert result.returncode == 2 and "tiny.yaml" in result.stderr
    result = bench(finished, "strategies", "l2sp")
    assert result.returncode == 2 and "l2_sp" in result.stderr

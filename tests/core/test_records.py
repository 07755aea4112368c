"""What a store holds, as types: what is written is read back as it was, and what is no record is refused by field."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.core.records.measures import MeasuresRecord
from bench.core.records.runs import RunRecord
from bench.core.records.searches import SearchRecord
from bench.core.records.study import Choice, MeasuringRecord, StudyRecord
from bench.core.schema import Tag
from bench.planning import load, plan
from tests.conftest import ROOT

STUDY = """
name: every-section
question: Is what is written read back?
datasets:
  - {name: synthetic/fine, options: {pool_per_class: 30, test_per_class: 2}, similarity: similar, n_per_class: [5, all]}
  - {name: synthetic/glyph, options: {pool_per_class: 30, test_per_class: 2}, similarity: dissimilar, n_per_class: [10]}
backbones:
  - {name: test_resnet, source: {name: synthetic/source, options: {}}, source_train: {epochs: 1}}
  - {name: test_resnet, random: true, label: untrained, data_config: {mean: [0.5, 0.5, 0.5]}, allow_missing: [head]}
strategies: [full, "full + l2_sp", {freeze: [linear_probe], regularize: [none, l2_sp]}]
hyperparameters: {full: {lr: 0.02}}
seeds: 2
train: {image_size: 32, precision: fp32, optimizer_kwargs: {betas: [0.9, 0.99]}}
tune: {trials: 2, fix: ["l2_sp.*"], ranges: {full: {lr: [0.001, 0.1]}}}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """A study with something in every section, as the driver writes it."""
    path = tmp_path_factory.mktemp("records") / "study.yaml"
    path.write_text(STUDY)
    study = plan.make(load.load(path), path, path.parent / "cache").document()
    measured = replace(
        study.datasets[0],
        notes=("3 duplicates",),
        measures=(MeasuresRecord("test_resnet", 5, 50, 10, {"logme": 0.5}, {"leep": "no classifier"}),),
        measured={
            "test_resnet": MeasuringRecord("0f"),
            "untrained": MeasuringRecord("1f", "no source", True),
        },
    )
    backbone = replace(study.backbones[1], notes=(), precision=Choice("bf16", "faster here"))
    return replace(
        study,
        datasets=(measured, *study.datasets[1:]),
        backbones=(study.backbones[0], backbone),
        command="bench run study.yaml",
        store="sqlite:///mlflow.db",
        git_commit="0123abc",
    )


def test_a_study_is_read_back_as_it_was_written(written: StudyRecord) -> None:
    assert written.left_out and written.tune and written.tune.spaces and len(written.plan) > 8
    text = json.dumps(written.to_json(), allow_nan=False)
    again = StudyRecord.from_json(json.loads(text))
    assert json.loads(json.dumps(again.to_json())) == json.loads(text)
    assert again == written


def drop(content: dict[str, Any]) -> None:
    del content["matrix"]


def damage(content: dict[str, Any]) -> None:
    content["plan"][3]["seed"] = "three"


def unknown_setting(content: dict[str, Any]) -> None:
    content["train"]["learning_rate"] = 0.1


@pytest.mark.parametrize(
    ("change", "field"),
    [(drop, "matrix: "), (damage, "plan.3.seed: "), (unknown_setting, "train.learning_rate: ")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_no_study_is_refused_by_field(written: StudyRecord, change: Any, field: str) -> None:
    content = json.loads(json.dumps(written.to_json()))
    change(content)
    with pytest.raises(UserError) as refused:
        StudyRecord.from_json(content)
    assert str(refused.value).startswith(field) and "\n" not in str(refused.value)


def stored(search: SearchRecord) -> RunRecord:
    """The run of a search with what is logged of it."""
    tags = {Tag.TUNING_ID: search.tuning_id, **search.tags()}
    return RunRecord(search.mlflow_run_id, "search", "FINISHED", 1, 2, "", tags, {}, search.all_metrics())


def test_a_search_is_read_back_as_it_was_logged() -> None:
    search = SearchRecord(
        *(
            "id",
            "12 trials",
            {"full.lr": 0.02, "full.name": "a"},
            3,
            0.7,
            0.6,
            0.68,
            0.61,
            0.05,
            9,
            2,
            1,
            4.5,
            {"full.lr": 0.8},
        ),
        mlflow_run_id="0f",
    )
    assert SearchRecord.of(stored(search)) == search and search.trials == 12


def test_a_search_that_chose_nothing_says_why_and_is_not_counted() -> None:
    search = SearchRecord(
        "id", "3 trials", complete=0, pruned=0, failed=3, error="none of 3 trials is complete"
    )
    assert Tag.CHOSEN not in search.tags() and Tag.BUDGET not in search.tags()
    again = SearchRecord.of(stored(search))
    assert (again.error, again.chosen, again.best, again.failed) == (search.error, {}, None, 3)


def test_records_are_read_without_what_is_heavy() -> None:
    """Importing them takes neither pydantic nor MLflow; only reading a study document imports pydantic."""
    code = "import sys; from bench.core.records import runs, searches, study; "
    code += "assert not {'pydantic', 'mlflow', 'torch', 'optuna'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_mlflows_own_status_is_looked_at_in_one_place() -> None:
    """Plan, lists, report and advice ask the record. An exported file hands it on without looking at it."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("bench", "reports")
        for path in (ROOT / folder).rglob("*.py")
        if "mlflow_status" in path.read_text() or 'run["status"]' in path.read_text()
    }
    assert found == {"bench/core/records/runs.py", "bench/tracking/exchange/file.py"}

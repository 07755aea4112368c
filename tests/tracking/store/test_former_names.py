"""A store that was written under former names: one message that names the study, what is old, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

import reports
from bench.advice import gathering
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.schema import ARTIFACT_STUDY, Purpose, Status, Tag
from bench.execution import state
from bench.planning import load, plan
from bench.tracking import store

STUDY = """
name: old
datasets: [{name: synthetic/fine, options: {pool_per_class: 6, test_per_class: 2}, similarity: similar, n_per_class: [5]}]
backbones: [{name: test_resnet, random: true}]
strategies: [full, linear_probe]
seeds: 1
train: {image_size: 32, precision: fp32}
"""
DOCUMENT = {
    "name": "old",
    "train": {"numerics": "fp32"},
    "strategies": [{"label": "full", "freeze": {"name": "full", "knobs": {"lr": 0.01}}}],
    "plan": [],
}


def fill(uri: str, artifacts: Path, study: str, runs: bool) -> None:
    client = MlflowClient(uri)
    number = client.create_experiment(study, artifact_location=artifacts.as_uri())
    document = client.create_run(number, tags={Tag.PURPOSE: str(Purpose.STUDY)}).info.run_id
    client.log_text(document, json.dumps(DOCUMENT), ARTIFACT_STUDY)
    if runs:
        tags = {
            Tag.PURPOSE: str(Purpose.FINAL),
            Tag.STATUS: str(Status.FINISHED),
            Tag.RUN_ID: "0f",
            "numerics": "fp32",
        }
        run = client.create_run(number, tags=tags).info.run_id
        for key in ("train_image_steps", "borrowed_seconds", "test_accuracy"):
            client.log_metric(run, key, 1.0)
        client.log_param(run, "knob.full.lr", "0.01")
        client.set_terminated(run)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    fill(f"sqlite:///{folder}/mlflow.db", folder / "mlruns", "old", runs=True)
    (folder / "study.yaml").write_text(STUDY)
    return folder


READERS: dict[str, Any] = {
    "plan and run": lambda home, uri: state.read(
        plan.make(load.load(home / "study.yaml"), home / "study.yaml", home / "cache"), uri
    ),
    "report and runs": lambda home, uri: reports.rows("old", uri),
    "advice": lambda home, uri: gathering.gather(gathering.of_store(uri)),
}


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_it_says_what_is_old_and_what_to_do(reader: str, home: Path) -> None:
    with pytest.raises(UserError) as refused:
        READERS[reader](home, f"sqlite:///{home}/mlflow.db")
    said = str(refused.value)
    assert said.startswith("study 'old' in store sqlite:///") and "\n" not in said
    assert "tag numerics (now precision)" in said and "metric train_image_steps (now samples_seen)" in said
    assert "borrowed_seconds (now cached_feature_seconds)" in said
    assert "another name (--set name=NAME)" in said and "another store (--store)" in said


def test_another_name_in_the_same_store_is_what_the_message_says(home: Path) -> None:
    uri = f"sqlite:///{home}/mlflow.db"
    study = load.load(home / "study.yaml", ["name=new"])
    assert len(state.read(plan.make(study, home / "study.yaml", home / "cache"), uri).missing) == 2


def test_a_document_alone_is_refused_too(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    fill(uri, tmp_path / "mlruns", "old", runs=False)
    for read in (reports.rows, lambda name, uri: store.read_study(uri, name)):
        with pytest.raises(UserError, match=r"field numerics of study.json \(now precision\), field knobs"):
            read("old", uri)


def test_the_command_says_it_once(home: Path) -> None:
    result = CliRunner().invoke(
        cli.app, ["plan", str(home / "study.yaml"), "--store", f"sqlite:///{home}/mlflow.db"]
    )
    assert isinstance(result.exception, UserError) and "former names" in str(result.exception)

"""A real MLflow server on loopback, in front of PostgreSQL and with artifacts through its proxy, that goes away."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

import reports
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.records.planned import PlannedRow
from bench.core.records.predictions import Predictions
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.execution import worker
from bench.tracking import experiment, store
from bench.tracking.exchange import file
from bench.tracking.exchange.exporting import export
from bench.tracking.exchange.importing import import_file
from bench.tracking.predictions import read_all
from bench.tracking.runs import Tracker
from bench.tracking.store import patience
from bench.tracking.store.client import MlflowClient
from bench.training.run.prepared_run import Outcome
from tests.conftest import TINY_STUDY
from tests.support import given_accuracies
from tests.support import report_samples as samples
from tests.support.commands import bench
from tests.support.outages import ROW, SPEC, Disturbed, Machines, check_epochs, epochs_logged, final, numbers
from tests.support.prediction_samples import predictions
from tests.support.servers import losing_answers

STUDY = """
name: outage
datasets:
  - name: synthetic/fine
    options: {{pool_per_class: 10, test_per_class: 5}}
    similarity: similar
    n_per_class: [10]
backbones:
  - {{name: test_resnet, random: true}}
strategies: {strategies}
seeds: {seeds}
train: {{image_size: 32, precision: fp32, optimizer: adamw, batch_size: 32, epochs: {epochs}}}
checkpoints: best
system_metrics: true
"""


@pytest.mark.timeout(1200)
def test_the_server_and_its_database_go_away_in_mid_study(machines: Machines, tmp_path: Path) -> None:
    epochs = 100
    study = STUDY.format(strategies="[full]", seeds=2, epochs=epochs)
    with Disturbed(tmp_path, study, "--store", machines.url) as driver:
        driver.wait_until(lambda: epochs_logged(machines.database, "outage") > 0)
        machines.mlflow.kill()
        since = time.time()
        if machines.postgres:
            machines.postgres.restart(away=1)
        machines.mlflow.start()
        until = time.time()
        driver.end()

    assert len(numbers(machines.url, "outage")) == 2
    went_on = check_epochs(machines.url, "outage", epochs, since + 0.5, until - 0.5)
    assert went_on > 0, "training stood still while the store was away"
    runs = final(machines.url, "outage")
    assert all("system/cpu_utilization_percentage" in run.metrics for run in runs)
    checkpoints = MlflowClient(machines.url).list_artifacts(runs[0].mlflow_run_id, "checkpoints/last")
    assert {Path(a.path).name for a in checkpoints} == {"model.safetensors", "optimizer.pt"}
    for run, own in zip(runs, read_all(machines.url, runs), strict=True):
        assert isinstance(own, Predictions) and len(own) == 50
        assert own.right.mean() == pytest.approx(run.metrics[Metric.TEST_ACCURACY])
    assert 1 <= driver.log.count("does not answer") <= 3, "each worker says so once"

    # document and report went through the server's proxy, and come back the same way
    (study,) = store.read_runs(machines.url, "outage", tagged={Tag.PURPOSE: [Purpose.STUDY]})
    assert study.artifact_uri.startswith("mlflow-artifacts:")
    assert store.read_study(machines.url, "outage").name == "outage"
    report = {a.path for a in MlflowClient(machines.url).list_artifacts(study.mlflow_run_id, "report")}
    assert {"report/report.md", "report/report.html"} <= report
    shown = bench(tmp_path, "ui", "--store", machines.url)
    address = f"{machines.url}/#/experiments/{store.experiment_ids(machines.url)['outage']}/runs"
    assert shown.returncode == 0 and f"outage  {address}" in shown.stdout
    assert not (tmp_path / "mlflow.db").exists(), "something went to the default store"


def test_lost_answers_make_no_second_run(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does what it is asked, and the first answer to each kind of request is cut off."""
    monkeypatch.setattr(patience, "FIRST", 0.01)
    lost: Counter[str] = Counter()

    def first_of_its_kind(method: str, path: str) -> bool:
        kind = f"{method} {path.partition('?')[0].replace('//', '/')}"
        kind = "artifact" if "mlflow-artifacts" in kind else kind
        lost[kind] += 1
        return lost[kind] == 1

    (tmp_path / "file.txt").write_text("content")
    with losing_answers(machines.url, first_of_its_kind) as relay, patience.granted():
        experiment_id = experiment.open_store(relay, "lost answers")
        log = Tracker(relay, experiment_id).start(ROW, SPEC, system_metrics=False)
        for epoch in (1, 2, 3):
            log.record(epoch, {"loss": 1 / epoch})
        log.folder(tmp_path, "files")
        log.finish(Status.FINISHED, {"accuracy": 0.5})
    assert {"POST /api/2.0/mlflow/runs/create", "POST /api/2.0/mlflow/runs/log-batch", "artifact"} <= set(
        lost
    )
    (run,) = store.read_runs(machines.url, "lost answers")
    assert run.mlflow_status == "FINISHED" and run.tags[Tag.STATUS] == "finished"
    assert run.metrics == {"loss": 1 / 3, "accuracy": 0.5} and run.params["strategy"] == "full"
    history = store.metric_history(machines.url, "lost answers", ["loss"])
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]


def test_predictions_go_through_the_server_and_come_back_from_it(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written as a worker ends a run, read as an analysis in Python does; the first answers are lost on the way."""
    monkeypatch.setattr(patience, "FIRST", 0.01)
    study = samples.document({"fine": {10: {"linear_probe": 0.7, "full": 0.6}}}, seeds=[0])
    first, second = study["plan"]
    older = samples.stored(second, 0.6)
    samples.fill(machines.url, "kept", study, [older], None)
    lost: Counter[str] = Counter()

    def first_artifact(method: str, path: str) -> bool:
        lost[method] += "mlflow-artifacts" in path
        return lost[method] == 1 and "mlflow-artifacts" in path

    own = predictions(0.7, seed=0)
    row = PlannedRow(**first)
    with losing_answers(machines.url, first_artifact) as relay, patience.granted():
        log = Tracker(relay, experiment.open_store(relay, "kept")).start(row, SPEC, system_metrics=False)
        worker._end(log, Outcome({Metric.TEST_ACCURACY: 0.7}, "cpu", "", {}, own))
    assert lost["PUT"] >= 2
    frame = reports.load("kept", machines.url, predictions=True)
    by = dict(zip(frame["strategy"], frame["predictions"], strict=True))
    assert by["full"] is None, "a run of an earlier version"
    assert by["linear_probe"].to_bytes() and np.array_equal(by["linear_probe"].predicted, own.predicted)
    assert by["linear_probe"].test_set == own.test_set and by["linear_probe"].nll == own.nll
    assert "predictions" not in reports.load("kept", machines.url).columns
    (stored,) = (run for run in final(machines.url, "kept") if Tag.TEST_SET in run.tags)
    assert stored.artifact_uri.startswith("mlflow-artifacts:")
    MlflowClient(machines.url).list_artifacts(stored.mlflow_run_id)
    gone = replace(stored, artifact_uri=f"{stored.artifact_uri}/nowhere")
    (wrong,) = read_all(machines.url, [gone])
    assert isinstance(wrong, UserError) and "unreadable" in str(wrong)


def test_a_race_makes_the_same_decisions_as_in_a_file(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_accuracies.give_accuracies(monkeypatch)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    given_accuracies.call(here)
    given_accuracies.call(there, to=machines.url)
    local, looks = given_accuracies.uri(here), given_accuracies.plainly(given_accuracies.looks(here))
    assert given_accuracies.done(there, machines.url) == given_accuracies.done(here)
    assert given_accuracies.plainly(given_accuracies.looks(there, machines.url)) == looks
    folders = [
        reports.write("raced", where, folder) for where, folder in ((local, here), (machines.url, there))
    ]
    assert given_accuracies.plainly(given_accuracies.looks(there, machines.url)) == looks, "no further look"
    answers = [(f / "report.md").read_text().partition("## Answer")[2].partition("## ")[0] for f in folders]
    assert answers[0] == answers[1] and "The study" not in answers[0]


def test_a_study_is_exported_from_the_server_and_imported_into_it(machines: Machines, tmp_path: Path) -> None:
    """Into a file from a store of files, and from that file into the server, predictions included."""
    study = samples.document({"fine": {10: {"linear_probe": 0.7, "full": 0.6}}}, seeds=[0])
    study["name"] = "travelled"
    here = f"sqlite:///{tmp_path / 'mlflow.db'}"
    samples.fill(
        here, "travelled", study, [samples.stored(row, 0.6) for row in study["plan"]], tmp_path / "a"
    )
    log = Tracker(here, experiment.open_store(here, "travelled")).start(
        PlannedRow(**study["plan"][0]), SPEC, system_metrics=False
    )
    own = predictions(0.7, seed=0)
    worker._end(log, Outcome({Metric.TEST_ACCURACY: 0.7}, "cpu", "", {}, own))
    export(here, "travelled", tmp_path / "one.parquet", predictions=True)
    _, done = import_file(machines.url, tmp_path / "one.parquet", lambda text: None, lambda i, n: None)
    assert (done.added, done.there) == (2, 0)
    frame = reports.load("travelled", machines.url, predictions=True)
    assert dict(zip(frame["strategy"], frame["test_accuracy"], strict=True)) == {
        "linear_probe": 0.7,
        "full": 0.6,
    }
    by = dict(zip(frame["strategy"], frame["predictions"], strict=True))
    assert by["full"] is None and np.array_equal(by["linear_probe"].predicted, own.predicted)
    found = export(machines.url, "travelled", tmp_path / "two.parquet", predictions=True)
    again = file.read(tmp_path / "one.parquet")
    assert [run.metrics for run in found.runs] == [run.metrics for run in again.runs]
    assert set(found.predictions.values()) == set(again.predictions.values())


def test_it_listens_on_loopback_alone_and_answers_to_no_other_name(machines: Machines) -> None:
    port = urlsplit(machines.url).port
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening if c.laddr.port == port} == {"127.0.0.1"}
    page = f"{machines.url}/api/2.0/mlflow/experiments/search?max_results=1"
    with urllib.request.urlopen(page, timeout=20) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(
            urllib.request.Request(page, headers={"Host": "elsewhere.example"}), timeout=20
        )
    assert refused.value.code == 403


def test_a_server_that_is_away_is_said_plainly_and_at_once(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY_STUDY)
    started = time.monotonic()
    result = bench(tmp_path, "run", "tiny.yaml", "--store", "http://127.0.0.1:9")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "store" in result.stderr and "Traceback" not in result.stderr
    assert time.monotonic() - started < 100, "MLflow's own tries take 4 minutes"


def test_bench_ui_serves_on_loopback_and_tells_where_each_study_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("bench.cli.commands.ui.experiment_ids", lambda uri: {"photos": "7", "Default": "0"})
    monkeypatch.setattr(os, "execve", lambda file, command, env: started.append((command, env)))
    result = CliRunner().invoke(cli.app, ["ui", "--store", f"sqlite:///{tmp_path}/a.db", "--port", "5005"])
    ((command, env),) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert env["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path}/a.db"
    assert "photos  http://127.0.0.1:5005/#/experiments/7/runs?workflowType=machine_learning" in result.stdout
    assert "experiments/0" not in result.stdout


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_the_server_is_away_for_60_s(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> None:
    epochs, name = 250, "outage60"
    study = STUDY.format(strategies="[full, full + l2_sp]", seeds=2, epochs=epochs)
    calm, stormy = (study.replace("name: outage", f"name: {called}") for called in ("calm", name))
    with Disturbed(tmp_path_factory.mktemp("calm"), calm, "--store", machines.url) as driver:
        driver.end(1400)
    with Disturbed(tmp_path_factory.mktemp("stormy"), stormy, "--store", machines.url) as driver:
        driver.wait_until(lambda: epochs_logged(machines.database, name) > 20)
        machines.mlflow.kill()
        since = time.time()
        time.sleep(50)  # and starting it takes another 10, and more
        machines.mlflow.start()
        until = time.time()
        driver.end(1400)

    assert until - since >= 60
    found = numbers(machines.url, name)
    assert found == numbers(machines.url, "calm") and len(found) == 4
    went_on = check_epochs(machines.url, name, epochs, since + 0.5, until - 0.5)
    assert went_on > 50
    print(
        f"away {until - since:.1f} s; {went_on} epochs ended meanwhile; {len(found)} runs once each, "
        f"{epochs_logged(machines.url, name)} of {4 * epochs} epochs logged, end metrics equal"
    )

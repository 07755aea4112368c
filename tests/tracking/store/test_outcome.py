"""One truth about stored runs: plan, `bench runs`, report, advice and MLflow's views agree on stores left in any state."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric as Point
from typer.testing import CliRunner

import reports
from bench.advice import gathering
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.execution import driver, state, worker
from bench.execution.executors.inline import InlineExecutor
from bench.execution.pending_measures import Measures
from bench.execution.preparation import Remarks
from bench.planning import load, plan
from bench.planning.plan import Plan
from bench.storage.places import Places
from bench.tracking import experiment, stale_runs, store
from bench.tracking.plain import Tracking
from bench.tracking.store import outcome
from bench.tracking.views import COUNTED
from reports.analysis.rows import join
from reports.analysis.searches import Search
from reports.analysis.study import Analysis
from tests.support.displays import Says
from tests.support.faults import STUDY as SMALL

TAGS = [None, "garbage", *map(str, Status)]
MLFLOW = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
COMBINATIONS = list(itertools.product(TAGS, MLFLOW))
"""Seed i of the study below is left with the i-th."""

STUDY = f"""
name: NAME
datasets: [{{name: synthetic/fine, options: {{pool_per_class: 6, test_per_class: 2}}, similarity: similar, n_per_class: [5]}}]
backbones: [{{name: test_resnet, random: true}}]
strategies: [full, linear_probe]
seeds: {len(COMBINATIONS)}
train: {{image_size: 32, precision: fp32}}
"""
RESULTS = {"finished", "diverged", "pruned"}


def right(tag: str | None, mlflow: str) -> str:
    """The status by hand. The tag is written last, so an end that it tells is complete, and no other end is."""
    if tag in RESULTS | {"failed", "killed"}:
        return str(tag)
    if mlflow in ("RUNNING", "SCHEDULED"):
        return "running"
    return "failed" if mlflow == "FAILED" else "killed"


@pytest.fixture(scope="module", params=["sqlite", "server", "postgres"])
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of each kind: two are read by SQL, one by MLflow's client."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/mlflow.db"
    if request.param == "server":
        return str(request.getfixturevalue("machines").url)
    return str(request.getfixturevalue("postgres_server").database("outcomes"))


def planned(folder: Path, text: str, name: str) -> Plan:
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("NAME", name))
    return plan.make(load.load(path, []), path, folder / "cache")


def document(study: Plan) -> StudyRecord:
    """As the driver writes it, with nothing to remark on."""
    written = Remarks().entered(replace(study.document(), command="bench run"))
    return Measures.of(study, Places(study.base, study.cache)).entered(written)


class Written:
    """A study's experiment, filled by hand with MLflow's own client."""

    def __init__(self, uri: str, study: Plan) -> None:
        self.client = MlflowClient(uri)
        self.number = experiment.open_store(uri, study.study.name)
        experiment.write_study(uri, self.number, document(study))

    def run(self, tags: dict[str, str], mlflow: str, start: int, **metrics: float) -> str:
        made = self.client.create_run(self.number, start_time=start, tags=tags, run_name="r").info.run_id
        self.client.log_batch(made, metrics=[Point(key, value, start, 0) for key, value in metrics.items()])
        if mlflow != "RUNNING":
            self.client.update_run(made, status=mlflow)
        return str(made)


def tags_of(run_id: str, tag: str | None, purpose: Purpose = Purpose.FINAL) -> dict[str, str]:
    told = {} if tag is None else {Tag.STATUS: tag}
    return {Tag.RUN_ID: run_id, Tag.PURPOSE: str(purpose), Tag.PID: "1:0.00", **told}


@pytest.fixture(scope="module")
def left(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A store with a run of `linear_probe` in every state, at a seed each, and finished ones of `full`."""
    study = planned(tmp_path_factory.mktemp("left"), STUDY, "left")
    written = Written(uri, study)
    for run in study.runs:
        seed = run.spec.seed
        tag, mlflow = COMBINATIONS[seed]
        if run.spec.strategy.label == "full":
            if right(tag, mlflow) == "finished":
                written.run(tags_of(run.run_id, "finished"), "FINISHED", 1 + seed, test_accuracy=0.5)
        else:
            written.run(tags_of(run.run_id, tag), mlflow, 1 + seed, test_accuracy=0.25)
    return study


def of_probes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for row in rows if row["strategy"] == "linear_probe"]
    assert len(rows) == len(COMBINATIONS)
    return sorted(rows, key=lambda row: row["seed"])


def test_plan_runs_report_advice_and_views_agree_on_every_state(uri: str, left: Plan) -> None:
    wanted = [right(*combination) for combination in COMBINATIONS]
    results = {seed for seed, status in enumerate(wanted) if status in RESULTS}
    finished = {seed for seed, status in enumerate(wanted) if status == "finished"}
    assert len(finished) == 5 and len(results) == 15

    now = state.read(left, uri)
    done = {run.spec.seed for run in now.done if run.spec.strategy.label == "linear_probe"}
    assert done == results
    assert len(now.missing) == len(left.runs) - len(results) - len(finished)

    rows = of_probes(reports.rows("left", uri))
    assert [row["status"] for row in rows] == wanted
    told = CliRunner().invoke(cli.app, ["runs", "left", "--json", "--store", uri])
    assert [row["status"] for row in of_probes(json.loads(told.stdout))] == wanted

    (condition,) = [
        c for c in gathering.gather(gathering.of_store(uri)).conditions if c.study == "left"
    ]  # other tests share the server
    assert set(condition.accuracies["linear_probe"]) == finished

    shown = Written(uri, left).client.search_runs(
        [store.experiment_ids(uri)["left"]], COUNTED.replace(f'tags.{Tag.SETTING} != "unplanned"', 'tags.purpose = "final"')
    )  # fmt: skip
    identities = {run.run_id: run.spec.seed for run in left.runs if run.spec.strategy.label == "linear_probe"}
    seeds = {identities.get(run.data.tags[Tag.RUN_ID]) for run in shown} - {None}
    assert seeds == finished


def test_what_a_report_counts_as_finished_is_what_it_says(uri: str, left: Plan, tmp_path: Path) -> None:
    if not uri.startswith("sqlite"):
        pytest.skip("a report is written from rows, which are compared on every store")
    text = (reports.write("left", uri, tmp_path) / "report.md").read_text()
    assert f"**10 of {len(left.runs)} planned runs have finished**" in text


def test_leftovers_keep_the_end_that_they_have_told(uri: str, left: Plan) -> None:
    """Marked killed are those alone that had not said how they ended; nothing that counted is lost."""
    before = {run.run_id for run in state.read(left, uri).done}
    killed = stale_runs.mark_killed(uri, "left", alone=True)
    untold = [tag for tag, mlflow in COMBINATIONS if mlflow == "RUNNING" and right(tag, mlflow) == "running"]
    assert killed == len(untold)
    assert {run.run_id for run in state.read(left, uri).done} == before
    ends = {"finished": "FINISHED", "failed": "FAILED", "diverged": "FAILED", "pruned": "KILLED", "killed": "KILLED"}  # fmt: skip
    own = [
        (run.tags[Tag.STATUS], run.mlflow_status)
        for run in store.read_runs(uri, "left", tagged={Tag.PURPOSE: [Purpose.FINAL]})
        if COMBINATIONS[run.start_time - 1][1] == "RUNNING" and run.metrics["test_accuracy"] == 0.25
    ]
    assert len(own) == len(TAGS) and all(ends[tag] == mlflow for tag, mlflow in own)
    assert stale_runs.mark_killed(uri, "left", alone=True) == 0


TUNED = """
name: NAME
datasets: [{name: synthetic/fine, options: {pool_per_class: 6, test_per_class: 2}, similarity: similar, n_per_class: [5]}]
backbones: [{name: test_resnet, random: true}]
strategies: [full]
seeds: 1
train: {image_size: 32, precision: fp32}
tune: {trials: 2, untuned: false}
"""
CHOSEN = {"full.lr": 0.02}


def search_tags(identity: str, tag: str | None, budget: str = "2 trials", rate: float = 0.02) -> dict[str, str]:  # fmt: skip
    over = {Tag.TUNING_ID: identity, Tag.BUDGET: budget, Tag.CHOSEN: json.dumps({"full.lr": rate})}
    return tags_of("-", tag, Purpose.TUNING) | over


def found_searches(study: Plan, uri: str) -> list[Search]:
    """Those that a report rests on, of the study as the plan has it now."""
    document = state.read(study, uri).plan.document()
    return Analysis(join(document, store.read_runs(uri, study.study.name)), study.study.name).searches


def test_plan_and_report_agree_on_searches_in_every_state(tmp_path: Path) -> None:
    """A search for each seed: whether it has chosen is what its tag says, whatever MLflow's own status is."""
    each = TUNED.replace("seeds: 1", f"seeds: {len(COMBINATIONS)}").replace(
        "untuned: false", "untuned: false, each_seed: true"
    )
    study = planned(tmp_path, each, "tuned")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    written = Written(uri, study)
    over = set()
    for (identity, run), (tag, mlflow) in zip(study.tunings.items(), COMBINATIONS, strict=True):
        written.run(search_tags(identity, tag), mlflow, run.spec.seed, tuned_val_accuracy=0.5)
        over |= {run.spec.seed} if tag == "finished" else set()

    def agreed() -> None:
        now = state.read(study, uri)
        assert {run.spec.seed for run in now.missing} == over and len(now.waiting) == len(COMBINATIONS) - 5
        assert {run.spec.strategy.freeze.hyperparameters["lr"] for run in now.missing} == {0.02}
        assert {run.spec.seed for run in now.searches} == set(range(len(COMBINATIONS))) - over
        assert len(found_searches(study, uri)) == len(over) == 5

    agreed()
    stale_runs.mark_killed(uri, "tuned", alone=True)
    agreed()


def test_of_two_searches_plan_and_report_choose_alike(tmp_path: Path) -> None:
    """One that was deleted and restored beside its successor, and one of another budget that ended later."""
    study = planned(tmp_path, TUNED, "tuned")
    (identity,) = study.tunings
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    written = Written(uri, study)
    for start, budget, rate in ((1, "2 trials", 0.5), (2, "2 trials", 0.25), (3, "9 trials", 0.75)):
        written.run(
            search_tags(identity, "finished", budget, rate), "FINISHED", start, tuned_val_accuracy=rate
        )
    now = state.read(study, uri)
    (search,) = found_searches(study, uri)
    assert search.chosen == {"full.lr": 0.25} and search.best == 0.25
    assert [run.spec.strategy.freeze.hyperparameters["lr"] for run in now.missing] == [0.25]


DUPLICATES: list[tuple[str, list[tuple[str, int]], int]] = [
    # (what happened, (tag, start) of each run, which of them counts)
    ("killed, then retried", [("killed", 1), ("finished", 2)], 1),
    ("finished, then killed by another driver", [("finished", 1), ("killed", 2)], 0),
    ("two finished", [("finished", 1), ("finished", 2)], 1),
    ("two finished, the clock set back between them", [("finished", 5), ("finished", 2)], 0),
    ("finished and diverged", [("finished", 1), ("diverged", 2)], 0),
    ("diverged and pruned", [("pruned", 3), ("diverged", 1)], 1),
    ("diverged and under way", [("diverged", 1), ("running", 2)], 0),
    ("failed twice", [("failed", 1), ("failed", 2)], 1),
]


def test_duplicates_are_chosen_alike_by_plan_and_report(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    study = planned(tmp_path, STUDY, "twice")
    written = Written(uri, study)
    runs = [run for run in study.runs if run.spec.strategy.label == "full"]
    counted = {}
    for (what, entries, which), run in zip(DUPLICATES, runs, strict=False):
        for i, (tag, start) in enumerate(entries):
            mlflow = "RUNNING" if tag == "running" else "FINISHED"
            made = written.run(tags_of(run.run_id, tag), mlflow, start, total_seconds=10.0 + i)
            if i == which:
                counted[run.run_id] = (what, made, tag, 10.0 + i)
    rows = {row["run_id"]: row for row in reports.rows("twice", uri) if row["run_id"] in counted}
    for run_id, (what, made, tag, _) in counted.items():
        assert (rows[run_id]["mlflow_run_id"], rows[run_id]["status"]) == (made, tag), what
    now = state.read(study, uri)
    assert {run.run_id for run in now.done} == {i for i, found in counted.items() if found[2] in RESULTS}
    seconds = [found[3] for found in counted.values() if found[2] in RESULTS]
    assert now.estimator.seconds(runs[0].row()) == pytest.approx(sum(seconds) / len(seconds))


def test_the_order_of_what_is_stored_does_not_matter() -> None:
    made = [
        RunRecord(f"{i}", "", mlflow, start, None, "", {} if tag is None else {Tag.STATUS: tag}, {}, {})
        for i, ((tag, mlflow), start) in enumerate(zip(COMBINATIONS[10:16], (3, 3, 2, None, 5, 1), strict=True))
    ]  # fmt: skip
    chosen = {
        chosen.mlflow_run_id for order in itertools.permutations(made) if (chosen := outcome.choose(order))
    }
    assert len(chosen) == 1 and outcome.choose([]) is None and outcome.status(None) == "missing"


def test_a_run_cut_off_after_its_last_word_is_not_done_again(tmp_path: Path) -> None:
    """A real study: MLflow's status of a finished run never came, and its process is gone."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    study = planned(tmp_path, SMALL, "faulty")
    assert driver.run_study(study, uri, InlineExecutor, Says(), None).exit_code == 0  # type: ignore[arg-type]
    first, *_ = before = store.read_runs(uri, "faulty", tagged={Tag.PURPOSE: [Purpose.FINAL]})
    client = MlflowClient(uri)
    client.update_run(first.mlflow_run_id, status="RUNNING")
    client.set_tag(first.mlflow_run_id, Tag.PID, "1:0.00")
    assert not state.read(study, uri).missing
    says = Says()
    assert driver.run_study(study, uri, InlineExecutor, says, None).exit_code == 0  # type: ignore[arg-type]
    after = store.read_runs(uri, "faulty", tagged={Tag.PURPOSE: [Purpose.FINAL]})
    assert [(r.mlflow_run_id, r.mlflow_status) for r in after] == [(r.mlflow_run_id, "FINISHED") for r in before]  # fmt: skip
    assert not [line for line in says.said if "killed" in line]

    # a worker that died at that moment: its job comes again, and finds the result
    client.update_run(first.mlflow_run_id, status="RUNNING")
    number = store.experiment_ids(uri)["faulty"]
    tracking = Tracking(uri, number, False, "none", study="faulty")
    identity = first.tags[Tag.RUN_ID]
    stale_runs.mark_lost_killed(tracking, [identity], "signal SIGKILL")
    (run,) = [run for run in study.runs if run.run_id == identity]
    start = time.monotonic()
    again = worker.run(
        lambda *args: None, run.spec, run.row(), Places(tmp_path, tmp_path / "cache"), tracking
    )
    assert again.status == "finished" and time.monotonic() - start < 5
    assert again.metrics[Metric.TEST_ACCURACY] == first.metrics[Metric.TEST_ACCURACY]
    assert len(store.read_runs(uri, "faulty", tagged={Tag.PURPOSE: [Purpose.FINAL]})) == len(before)


def test_a_deleted_experiment_begins_anew_on_every_store(uri: str, tmp_path: Path) -> None:
    """Or is brought back by the command that the messages give: plan, run and report say what the store holds."""
    study = planned(tmp_path, STUDY, "gone")
    written = Written(uri, study)
    first = written.run(tags_of(study.runs[0].run_id, "finished"), "FINISHED", 1)
    dropped = written.run(tags_of(study.runs[1].run_id, "finished"), "FINISHED", 2)
    written.client.delete_run(dropped)
    assert [run.run_id for run in state.read(study, uri).done] == [study.runs[0].run_id]
    written.client.delete_experiment(written.number)

    now = state.read(study, uri)
    assert not now.done and now.deleted == written.number
    with pytest.raises(UserError, match=r"'gone' is deleted in MLflow.* mlflow experiments restore"):
        reports.rows("gone", uri)
    said: list[str] = []
    number = experiment.open_store(uri, "gone", said.append)
    assert number != written.number and "was deleted in MLflow: it begins anew" in said[0]
    assert experiment.open_store(uri, "gone", said.append) == number and len(said) == 1
    now = state.read(study, uri)
    assert not now.done and now.deleted is None
    aside = written.client.get_experiment(written.number)
    assert (aside.name, aside.lifecycle_stage) == (f"gone (deleted {written.number})", "deleted")
    with pytest.raises(UserError, match="'gone' holds no study run"):
        reports.rows("gone", uri)
    written.client.restore_experiment(written.number)
    assert first in {run.mlflow_run_id for run in store.read_runs(uri, aside.name)}
    assert not state.read(study, uri).done

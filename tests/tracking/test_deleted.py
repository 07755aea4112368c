"""What somebody deletes in MLflow does not count: plan says what is missing, run does just that, and the report follows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import timm
from mlflow import MlflowClient
from safetensors.torch import save_file
from typer.testing import CliRunner

import reports
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.schema import Purpose, Tag
from bench.execution import driver, state
from bench.execution.executors.inline import InlineExecutor
from bench.planning import load, plan
from bench.planning.plan import Plan
from bench.tracking import store
from reports.analysis.rows import read
from reports.analysis.study import Analysis
from tests.support.displays import Says
from tests.support.faults import STUDY

TUNED = STUDY.replace("[full, linear_probe]", "[full + head_x10]") + "tune: {trials: 2, untuned: false}\n"
"""A search of two trials, and a run with what it chose."""


def planned(folder: Path) -> Plan:
    path = folder / "faulty.yaml"
    return plan.make(load.load(path, []), path, folder / "cache")


def run(folder: Path, reports: Path | None = None) -> list[str]:
    """reports: where one is written."""
    says = Says()
    summary = driver.run_study(planned(folder), uri_of(folder), InlineExecutor, says, reports)  # type: ignore[arg-type]
    assert summary.exit_code == 0
    return says.said


def uri_of(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "faulty.yaml").write_text(TUNED)
    run(folder, folder / "out")
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy, to delete from."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    return copy


def stored(folder: Path, purpose: Purpose) -> set[str]:
    found = store.read_runs(uri_of(folder), "faulty", tagged={Tag.PURPOSE: [purpose]})
    return {entry.mlflow_run_id for entry in found}


CASES: list[tuple[str, tuple[int, int, int], tuple[int, int]]] = [
    # (what is deleted, plan: runs done, runs to do, searches to do, run: new final runs, new trials)
    ("final", (0, 1, 0), (1, 0)),
    ("study", (1, 0, 0), (0, 0)),
    (
        "tuning",
        (0, 1, 1),
        (0, 2),
    ),  # its trials are of no search any more: two new ones, which choose the same
    ("trial", (1, 0, 0), (0, 0)),  # the search has chosen, and says so
    ("experiment", (0, 1, 1), (1, 2)),
]


@pytest.mark.parametrize(("what", "told", "done"), CASES, ids=[case[0] for case in CASES])
def test_what_is_deleted_is_done_again(
    what: str, told: tuple[int, int, int], done: tuple[int, int], folder: Path
) -> None:
    client, uri = MlflowClient(uri_of(folder)), uri_of(folder)
    before = {purpose: stored(folder, purpose) for purpose in (Purpose.FINAL, Purpose.TRIAL)}
    delete(client, folder, what)
    now = state.read(planned(folder), uri)
    assert (len(now.done), len(now.missing) + len(now.waiting), len(now.searches)) == told
    if what == "study":
        with pytest.raises(
            UserError, match=r"holds no study run.*`bench run` with its study file writes it anew"
        ):
            reports.rows("faulty", uri)

    said = run(folder)
    assert any("was deleted in MLflow: it begins anew" in line for line in said) == (what == "experiment")
    new = [len(stored(folder, purpose) - before[purpose]) for purpose in (Purpose.FINAL, Purpose.TRIAL)]
    assert tuple(new) == done
    now = state.read(planned(folder), uri)
    assert (len(now.done), len(now.missing), len(now.searches)) == (1, 0, 0)
    study = read("faulty", uri)
    assert {row["status"] for row in study.rows} == {"finished"}
    (search,) = Analysis(study, "faulty").searches
    assert len(search.trials) == (1 if what == "trial" else 2)


def delete(client: MlflowClient, folder: Path, what: str) -> None:
    if what == "experiment":
        return client.delete_experiment(store.experiment_ids(uri_of(folder))["faulty"])
    found = store.read_runs(uri_of(folder), "faulty", tagged={Tag.PURPOSE: [Purpose(what)]})
    return client.delete_run(found[0].mlflow_run_id)


def test_the_plan_says_so_and_its_command_brings_the_runs_back(folder: Path) -> None:
    uri = uri_of(folder)
    delete(MlflowClient(uri), folder, "experiment")
    told = CliRunner().invoke(cli.app, ["plan", str(folder / "faulty.yaml"), "--store", uri])
    assert (
        "its experiment is deleted in MLflow, so its runs do not count: `bench run` begins anew"
        in told.stdout
    )
    (command,) = [line.partition("instead: ")[2] for line in told.stdout.splitlines() if "instead: " in line]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path}, capture_output=True)
    now = state.read(planned(folder), uri)
    assert (len(now.done), now.deleted) == (1, None)


def test_a_renamed_experiment_is_another_study(folder: Path) -> None:
    """Its results are read under the new name, and the study begins anew: its search too, though Optuna knows its trials."""
    uri = uri_of(folder)
    client = MlflowClient(uri)
    client.rename_experiment(store.experiment_ids(uri)["faulty"], "older")
    assert {row["status"] for row in reports.rows("older", uri)} == {"finished"}
    now = state.read(planned(folder), uri)
    assert not now.done and now.deleted is None and len(now.searches) == 1
    run(folder)
    assert len(stored(folder, Purpose.TRIAL)) == 2 and len(stored(folder, Purpose.FINAL)) == 1
    assert {row["status"] for row in reports.rows("older", uri)} == {"finished"}


REMARKED = STUDY.replace("[full, linear_probe]", "[full]").replace(
    "{name: test_resnet, random: true}",
    "{name: test_resnet, checkpoint: own.safetensors}, {name: test_vit, random: true}",
)
"""A backbone on whose file there are remarks, and one more."""


@pytest.fixture
def remarked(tmp_path: Path) -> Path:
    """One for each test: artifacts keep the path at which they were logged, so that copies would share them."""
    folder = tmp_path
    weights = timm.create_model("test_resnet", num_classes=2).state_dict()
    save_file(weights, folder / "own.safetensors")
    (folder / "faulty.yaml").write_text(REMARKED)
    run(folder)
    return folder


def without_the_study_run(folder: Path) -> None:
    delete(MlflowClient(uri_of(folder)), folder, "study")


def without_the_backbone_for_a_while(folder: Path) -> None:
    first, second = "{name: test_resnet, checkpoint: own.safetensors}, ", "{name: test_vit, random: true}"
    assert first + second in REMARKED
    (folder / "faulty.yaml").write_text(REMARKED.replace(first, ""))
    run(folder)
    (folder / "faulty.yaml").write_text(REMARKED)


def under_another_label(folder: Path) -> None:
    (folder / "faulty.yaml").write_text(
        REMARKED.replace("{name: test_resnet,", "{name: test_resnet, label: mine,")
    )


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    "change", [without_the_study_run, without_the_backbone_for_a_while, under_another_label]
)
def test_the_report_of_a_finished_study_keeps_its_remarks(
    change: Callable[[Path], None], remarked: Path
) -> None:
    folder = remarked
    notes = remarks(folder)
    assert any("nothing says with which mean" in note for note in notes)
    change(folder)
    before = stored(folder, Purpose.FINAL)
    run(folder)
    assert remarks(folder) == notes
    assert stored(folder, Purpose.FINAL) == before


def remarks(folder: Path) -> list[str]:
    study = store.read_study(uri_of(folder), "faulty")
    return [note for backbone in study.backbones for note in backbone.notes or ()]


def test_a_further_call_on_a_finished_study_starts_no_worker(remarked: Path) -> None:
    folder = remarked

    def none() -> InlineExecutor:
        raise AssertionError("a worker was started")

    summary = driver.run_study(planned(folder), uri_of(folder), none, Says(), folder / "out")  # type: ignore[arg-type]
    assert summary.exit_code == 0 and not summary.counts


def test_nothing_is_said_to_run_where_nothing_is_left(folder: Path) -> None:
    delete(MlflowClient(uri_of(folder)), folder, "study")
    titles: list[str] = []

    class Titles(Says):
        def progress(self, title: str, total: int) -> AbstractContextManager[None]:
            titles.append(title)
            return nullcontext()

    driver.run_study(planned(folder), uri_of(folder), InlineExecutor, Titles(), folder / "out")  # type: ignore[arg-type]
    assert "preparing images" in titles and "running" not in titles

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

import reports
from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.schema import END_METRICS, Status
from reports.analysis.rows import COLUMNS
from tests.support import report_samples as samples
from tests.support.report_samples import Store


def test_rows_are_json_with_the_contracts_keys(store: Store) -> None:
    rows = reports.rows(store.name, store.uri)
    assert len(rows) == len(store.document["plan"])
    assert all(list(row) == COLUMNS for row in rows)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert type(rows[0]["n_per_class"]) is int and type(rows[0]["peak_memory_bytes"]) is int
    parts = (rows[0]["freeze"], rows[0]["lr_policy"], rows[0]["regularize"])
    assert parts == ("linear_probe", "uniform", "none")


def test_every_end_metric_has_a_column() -> None:
    assert set(END_METRICS) <= set(COLUMNS), "declare it in reports.analysis.rows.Row"


def test_a_finished_run_wins_over_later_leftovers(store: Store) -> None:
    first, second, third = reports.rows(store.name, store.uri)[:3]
    assert (first["status"], second["status"]) == ("finished", "finished")
    assert first["test_accuracy"] != 0.999, "trials of a search do not count"
    assert first["error"] is None
    assert third["status"] == "diverged" and third["test_accuracy"] is None
    assert third["error"] == "loss is nan at step 7"


def test_frame_has_the_same_content(store: Store) -> None:
    frame = reports.load(store.name, store.uri)
    assert list(frame.columns) == COLUMNS
    assert frame["test_accuracy"].dtype == "float64" and math.isnan(frame["test_accuracy"][2])
    assert frame["n_per_class"].dtype == "int64"
    assert frame.groupby("cell").size().to_dict() == dict.fromkeys(samples.RULE, 12)


def test_store_defaults_to_mlflows_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert len(reports.rows("sample")) == 48


def test_unknown_study_names_the_nearest(store: Store) -> None:
    with pytest.raises(UserError, match=r"'sampel' is unknown .* did you mean sample\?"):
        reports.rows("sampel", store.uri)


@pytest.mark.parametrize(
    ("own", "mlflow", "expected"),
    [
        ("diverged", "FINISHED", Status.DIVERGED),
        ("running", "KILLED", Status.KILLED),
        ("running", "RUNNING", Status.RUNNING),
        (None, "RUNNING", Status.RUNNING),
        (None, "KILLED", Status.KILLED),
        (None, "FAILED", Status.FAILED),
        ("finished", "FINISHED", Status.FINISHED),
    ],
)
def test_status(own: str | None, mlflow: str, expected: Status) -> None:
    tags = {"bench.status": own} if own else {}
    assert RunRecord("0f", "r", mlflow, 1, 2, "", tags, {}, {}).status == expected


def test_runs_outside_the_plan_and_empty_stores() -> None:
    study = samples.document()
    stranger = samples.stored({"run_id": "another study's"}, 0.5)
    joined = samples.joined(study, [stranger])
    assert {row["status"] for row in joined.rows} == {"missing"} and joined.runs == []


def test_importing_reports_is_cheap() -> None:
    heavy = ["torch", "mlflow", "seaborn", "matplotlib", "pandas", "scipy", "numpy"]
    script = f"import sys, reports, reports.analysis.rows; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

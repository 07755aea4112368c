"""All ways of reading a store, on real ones that MLflow's own client wrote."""

from __future__ import annotations

import json
import math
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.core.schema import ARTIFACT_STUDY, Purpose, Tag
from bench.tracking import store
from tests.support.servers import postgres


def fill(uri: str, artifacts: Path) -> None:
    """Experiment "exp": two study runs, three others, one of them deleted; experiment "gone": deleted."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    exp = client.create_experiment("exp", artifact_location=artifacts.as_uri())
    for start, content in ((5, {"old": True}), (9, {"plan": ["ü"]})):
        run = client.create_run(exp, start_time=start, tags={Tag.PURPOSE: str(Purpose.STUDY)}).info.run_id
        client.log_text(run, json.dumps(content, ensure_ascii=False), ARTIFACT_STUDY)
    for start, status in ((30, "FINISHED"), (20, "KILLED"), (10, None)):
        run = client.create_run(exp, start_time=start, run_name=f"r{start}", tags={"a": "1"}).info.run_id
        client.log_param(run, "lr", 0.1)
        for step, value in enumerate([3.0, float("nan"), 2.5, float("inf")][: start // 10 + 1]):
            client.log_metric(run, "loss", value, step=step, timestamp=1000 + step)
        client.log_metric(run, "never finite", float("nan"))
        if status:
            client.set_terminated(run, status, end_time=100)
    client.delete_run(client.create_run(exp).info.run_id)
    client.delete_experiment(client.create_experiment("gone"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a store & more#1")
    fill(f"sqlite:///{folder}/mlflow.db", folder / "mlruns" / "1")
    return folder


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same on a PostgreSQL server, which also has a database "fresh" without tables."""
    with postgres("mlflow", "fresh") as server:
        fill(f"{server}/mlflow", tmp_path_factory.mktemp("postgres"))
        yield f"{server}/mlflow"


@pytest.fixture
def uri(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def through_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as if the store were no database that we can open."""
    monkeypatch.setattr(store, "_is_sql", lambda uri: False)


def comparable(content: Any) -> str:
    """nan differs from itself; its text does not."""
    return json.dumps(content, sort_keys=True, default=asdict)


PARTS: list[dict[str, Any]] = [
    {"tags": ["a", "unknown"], "params": [], "metrics": ["loss"]},
    {"params": ["lr"], "status": "KILLED"},
    {"tagged": {Tag.PURPOSE: [Purpose.STUDY, Purpose.FINAL]}},
    {"tagged": {"a": ["1", "2"], "mlflow.runName": ["r20"]}, "metrics": []},
    {"tagged": {"a": []}},
]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_both_paths_agree(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = request.getfixturevalue("uri" if kind == "sqlite" else "on_postgres")

    def read() -> list[Any]:
        runs = store.read_runs(uri, "exp")
        history = store.metric_history(uri, "exp", ["loss", "never finite", "unknown"])
        parts = [store.read_runs(uri, "exp", **part) for part in PARTS]
        return [store.experiments(uri), runs, history, store.read_document(uri, "exp"), *parts]

    direct = read()
    request.getfixturevalue("through_client")
    monkeypatch.setattr(store, "PAGE", 2)
    assert [comparable(part) for part in read()] == [comparable(part) for part in direct]


def test_parts_of_runs(uri: str) -> None:
    found = [store.read_runs(uri, "exp", **part) for part in PARTS]
    assert [len(runs) for runs in found] == [5, 1, 2, 1, 0]
    last, killed, named = found[0][-1], found[1][0], found[3][0]
    assert (last.tags, last.params, list(last.metrics)) == ({"a": "1"}, {}, ["loss"])
    assert killed.name == "r20" and killed.params == {"lr": "0.1"} and killed.metrics
    assert named.name == "r20" and named.metrics == {} and named.params


def test_postgresql_without_mlflows_tables_is_empty_and_stays_so(on_postgres: str) -> None:
    fresh = on_postgres.replace("/mlflow", "/fresh")
    assert store.read_runs(fresh, "exp") == [] and store.experiments(fresh) == []
    assert store.metric_history(fresh, "exp", ["loss"]) == []


def test_postgresql_that_is_away_or_refuses(on_postgres: str) -> None:
    wrong = on_postgres.replace("secret", "hunter2")
    with pytest.raises(UserError, match=r"store postgresql://…@.* cannot be used: .*authentication") as told:
        store.read_runs(wrong, "exp")
    assert "hunter2" not in str(told.value)
    with pytest.raises(UserError, match="refused"):
        store.read_runs("postgresql://me:secret@127.0.0.1:1/db", "exp")


def test_runs(uri: str) -> None:
    runs = store.read_runs(uri, "exp")
    assert len(runs) == 5
    assert [run.start_time for run in runs] == [5, 9, 10, 20, 30]
    assert [run.mlflow_status for run in runs[2:]] == ["RUNNING", "KILLED", "FINISHED"]
    assert [run.end_time for run in runs[2:]] == [None, 100, 100]
    last = runs[-1]
    assert (last.name, last.tags["a"], last.params) == ("r30", "1", {"lr": "0.1"})
    assert last.metrics["loss"] > 1e308, "MLflow stores infinity as the largest float"
    assert math.isnan(last.metrics["never finite"]) and math.isnan(runs[2].metrics["loss"])


def test_history(uri: str) -> None:
    found = store.metric_history(uri, "exp", ["loss"])
    assert [value.step for value in found[:2]] == [0, 1] and math.isnan(found[1].value)
    assert len(found) == 2 + 3 + 4
    assert store.metric_history(uri, "exp", []) == []


def test_names(uri: str) -> None:
    assert store.experiments(uri) == ["Default", "exp"]


@pytest.mark.parametrize("client", [False, True])
def test_what_is_missing_is_empty(uri: str, client: bool, request: pytest.FixtureRequest) -> None:
    if client:
        request.getfixturevalue("through_client")
    assert store.read_runs(uri, "nothing") == [] and store.read_runs(uri, "gone") == []
    assert store.metric_history(uri, "nothing", ["loss"]) == []


def test_missing_and_empty_files(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/none.db"
    assert store.read_runs(uri, "exp") == [] and store.experiments(uri) == []
    assert not (tmp_path / "none.db").exists(), "reading makes no file"
    (tmp_path / "none.db").touch()
    assert store.read_runs(uri, "exp") == []


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is not a database, whatever its name says" * 100)
    with pytest.raises(UserError, match=r"x\.db is not readable as an MLflow database"):
        store.read_runs(f"sqlite:///{tmp_path}/x.db", "exp")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reads_while_another_writes(folder: Path, tmp_path: Path, mode: str) -> None:
    copy = tmp_path / "busy.db"
    shutil.copy(folder / "mlflow.db", copy)
    writer = sqlite3.connect(copy, isolation_level=None)
    writer.execute(f"PRAGMA journal_mode = {mode}")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE tags SET value = 'uncommitted' WHERE key = 'a'")
    runs = store.read_runs(f"sqlite:///{copy}", "exp")
    assert [run.tags.get("a") for run in runs] == [None, None, "1", "1", "1"]
    writer.execute("COMMIT")
    assert store.read_runs(f"sqlite:///{copy}", "exp")[-1].tags["a"] == "uncommitted"
    writer.close()


DIES_IN_A_TRANSACTION = """
import os, signal, sqlite3, sys
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("PRAGMA cache_size = 1")  # pages go to the file before the commit
writer.execute("BEGIN")
writer.execute("UPDATE tags SET value = 'uncommitted' || hex(zeroblob(3000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_reads_after_a_writer_was_killed_in_a_transaction(folder: Path, tmp_path: Path) -> None:
    """Only a connection that may write rolls the half-written pages back."""
    copy = tmp_path / "killed.db"
    shutil.copy(folder / "mlflow.db", copy)
    subprocess.run([sys.executable, "-c", DIES_IN_A_TRANSACTION, str(copy)], check=False)
    assert copy.with_name("killed.db-journal").stat().st_size, "a hot journal is left"
    runs = store.read_runs(f"sqlite:///{copy}", "exp")
    assert [run.tags.get("a") for run in runs] == [None, None, "1", "1", "1"]


def test_a_write_protected_store_is_read(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "mlflow.db", tmp_path / "archive.db")
    (tmp_path / "archive.db").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert len(store.read_runs(f"sqlite:///{tmp_path}/archive.db", "exp")) == 5
    finally:
        tmp_path.chmod(0o755)


def test_latest_study_document(uri: str) -> None:
    assert store.read_document(uri, "exp") == {"plan": ["ü"]}


def test_unknown_study(uri: str) -> None:
    with pytest.raises(UserError, match=r"study 'expp' is unknown in store .*; did you mean exp\?"):
        store.read_document(uri, "expp")
    with pytest.raises(UserError, match=r"study 'Default' holds no study run"):
        store.read_document(uri, "Default")


def test_a_store_that_was_moved(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    with sqlite3.connect(moved / "mlflow.db") as database:
        database.execute(
            "UPDATE runs SET artifact_uri = replace(artifact_uri, 'file://', 'file:///no/longer')"
        )
    database.close()
    assert store.read_document(f"sqlite:///{moved}/mlflow.db", "exp") == {"plan": ["ü"]}


def test_a_lost_document(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "mlflow.db", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE runs SET artifact_uri = '/no/longer'")
    database.close()
    with pytest.raises(UserError, match=r"study 'exp': study.json of MLflow run .* is unreadable"):
        store.read_document(f"sqlite:///{tmp_path}/mlflow.db", "exp")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", Path("mlflow.db")),
        ("sqlite:////abs/x.db?timeout=3", Path("/abs/x.db")),
        ("http://localhost:5000", None),
        ("postgresql://me:pw@host/db", None),
        ("databricks", None),
    ],
)
def test_sqlite_path(uri: str, expected: Path | None) -> None:
    assert store.sqlite_path(uri) == expected


def test_passwords_are_not_shown() -> None:
    assert store.redacted("postgresql://me:p:w@host/db") == "postgresql://…@host/db"
    assert (
        store.redacted("bench run --store mysql://me:p@s/s@host/db x.yaml")
        == "bench run --store mysql://…@host/db x.yaml"
    )
    assert store.redacted("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_fast_without_mlflow(kind: str, request: pytest.FixtureRequest) -> None:
    uri = request.getfixturevalue("uri" if kind == "sqlite" else "on_postgres")
    script = "import sys; from bench.tracking.store import read_runs; assert read_runs(sys.argv[1], 'exp'); print(*sys.modules)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", script, uri], capture_output=True, text=True, check=True)
    assert "mlflow" not in done.stdout.split()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2, "processor seconds"

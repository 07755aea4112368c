"""MLflow's parts beyond its documented interface: which of them has moved, in plain words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from bench.core.compat.parts import Part, moved
from bench.tracking import compat
from bench.tracking.store.client import IDEMPOTENT, MlflowClient
from bench.tracking.system import Monitor


def test_no_part_of_mlflow_has_moved() -> None:
    assert not moved(compat.PARTS)


def test_the_tables_that_are_read_have_these_columns(tmp_path: Path) -> None:
    MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_experiments(max_results=1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        for table, columns in compat.TABLES.items():
            there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
            lost = set(columns) - there
            assert not lost, (
                f"MLflow's table {table} has no column {', '.join(lost)} any more, which the store's reader needs"
            )


def test_the_monitor_of_system_metrics_has_these_attributes(tmp_path: Path) -> None:
    monitor = Monitor(lambda step, metrics: None, f"sqlite:///{tmp_path}/mlflow.db")
    lost = [name for name in compat.MONITOR if not hasattr(monitor, name)]
    assert not lost, f"MLflow's SystemMetricsMonitor has no {', '.join(lost)} any more"


def test_methods_that_wait_for_the_store_are_methods_of_mlflows_client() -> None:
    from mlflow.tracking import MlflowClient as Theirs

    assert all(callable(getattr(Theirs, name)) for name in IDEMPOTENT)


def test_what_moved_is_named_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SystemMetricsMonitor, "collect_metrics")
    (said,) = moved(compat.PARTS)
    assert said.endswith(
        "SystemMetricsMonitor.collect_metrics is not there any more; it was used to take one more sample at a run's end"
    )
    part = Part("mlflow.tracking", "MlflowClient.set_tag", "mark runs", ("run_id", "colour"))
    assert "does not take colour any more; it was used to mark runs" in str(part.moved())

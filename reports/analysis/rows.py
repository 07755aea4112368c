"""The study's plan joined with the store: one row per planned run, plain dicts, fast (no pandas)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.core.records.planned import PlannedRow
from bench.core.records.runs import RunRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import END_METRICS, Metric, Status
from bench.core.spec import PartSpec, StrategySpec
from bench.storage.places import store_uri
from bench.tracking.store import outcome, read_runs, read_study

Row = dict[str, Any]

PLAN_COLUMNS = [
    "dataset",
    "similarity",
    "size",
    "cell",
    "n_per_class",
    "backbone",
    "strategy",
    "setting",
    "seed",
]
PART_COLUMNS = ["freeze", "lr_policy", "regularize"]
FIRST_METRICS = [Metric.VAL_ACCURACY, Metric.TEST_ACCURACY]
COLUMNS = [
    *["run_id", "status", *PLAN_COLUMNS, *PART_COLUMNS, *FIRST_METRICS],
    *[key for key in END_METRICS if key not in FIRST_METRICS],
    *["error", "mlflow_run_id", "tuning_id"],
]
"""Keys of a row, in order."""

WHOLE = {
    Metric.PEAK_MEMORY,
    Metric.PEAK_HOST_MEMORY,
    Metric.PARAMS_TRAINABLE,
    Metric.PARAMS_TOTAL,
    Metric.FLOPS,
}
"""Metrics that count something: MLflow stores floats, the rows hold whole numbers."""


@dataclass(frozen=True)
class StoredStudy:
    """All a report is made from. `runs` are the stored runs that the rows speak of, in the rows' order.

    stored: all runs of the experiment, searches and their trials among them.
    """

    document: StudyRecord
    rows: list[Row]
    runs: list[RunRecord]
    stored: list[RunRecord]


def finished(rows: Iterable[Row]) -> list[Row]:
    """The runs that count: finished, with a test accuracy."""
    return [row for row in rows if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None]


def read(name: str, store: str | None = None) -> StoredStudy:
    """The study `name` as it stands in the store now. Raises `UserError` where there is none."""
    uri = store_uri(store)
    runs = read_runs(uri, name, params=())
    return join(read_study(uri, name, runs), runs)


def join(document: StudyRecord, runs: Iterable[RunRecord]) -> StoredStudy:
    """Plan rows of `document` with the final runs that carry their run id."""
    everything = list(runs)
    stored = outcome.finals(everything)
    parts = {strategy.label: _parts(strategy) for strategy in document.strategies}
    chosen = [stored.get(planned.run_id) for planned in document.plan]
    rows = [
        _row(planned, parts.get(planned.strategy, {}), run)
        for planned, run in zip(document.plan, chosen, strict=True)
    ]
    return StoredStudy(document, rows, [run for run in chosen if run], everything)


def _parts(strategy: StrategySpec) -> dict[str, str | None]:
    """Names of the strategy's freeze, learning-rate and regulariser parts."""
    return {
        "freeze": strategy.freeze.name,
        "lr_policy": _names(strategy.lr),
        "regularize": _names(strategy.regularize),
    }


def _names(parts: Iterable[PartSpec]) -> str | None:
    return "+".join(part.name for part in parts) or None


def _row(planned: PlannedRow, parts: dict[str, str | None], run: RunRecord | None) -> Row:
    metrics = run.metrics if run else {}
    content = {
        **vars(planned),
        **parts,
        **{key: _value(key, metrics.get(key)) for key in END_METRICS},
        "status": str(outcome.status(run)),
        "error": run.error if run else None,
        "mlflow_run_id": run.mlflow_run_id if run else None,
    }
    return {key: content.get(key) for key in COLUMNS}


def _value(key: str, value: float | None) -> float | int | None:
    """None for what JSON cannot hold (nan, infinities)."""
    if value is None or not math.isfinite(value):
        return None
    return round(value) if key in WHOLE else value

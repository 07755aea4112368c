"""The study's plan joined with the store: one row per planned run, plain dicts, fast (no pandas)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.core.schema import END_METRICS, Metric, Status, Tag
from bench.storage.places import store_uri
from bench.tracking.store import rows as outcome
from bench.tracking.store.rows import read_runs, study_document

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

    document: dict[str, Any]
    rows: list[Row]
    runs: list[dict[str, Any]]
    stored: list[dict[str, Any]]


def finished(rows: Iterable[Row]) -> list[Row]:
    """The runs that count: finished, with a test accuracy."""
    return [row for row in rows if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None]


def read(name: str, store: str | None = None) -> StoredStudy:
    """The study `name` as it stands in the store now. Raises `UserError` where there is none."""
    uri = store_uri(store)
    runs = read_runs(uri, name, params=())
    return join(study_document(uri, name, runs), runs)


def join(document: dict[str, Any], runs: Iterable[dict[str, Any]]) -> StoredStudy:
    """Plan rows of `document` with the final runs that carry their run id."""
    everything = list(runs)
    stored = outcome.finals(everything)
    parts = {strategy["label"]: _parts(strategy) for strategy in document["strategies"]}
    chosen = [stored.get(planned["run_id"]) for planned in document["plan"]]
    rows = [
        _row(planned, parts.get(planned["strategy"], {}), run)
        for planned, run in zip(document["plan"], chosen, strict=True)
    ]
    return StoredStudy(document, rows, [run for run in chosen if run], everything)


def _parts(strategy: dict[str, Any]) -> dict[str, str | None]:
    """Names of the strategy's freeze, learning-rate and regulariser parts."""
    return {
        "freeze": _name(strategy.get("freeze")),
        "lr_policy": _names(strategy.get("lr")),
        "regularize": _names(strategy.get("regularize")),
    }


def _names(parts: list[Any] | None) -> str | None:
    return "+".join(filter(None, map(_name, parts or []))) or None


def _name(part: dict[str, Any] | str | None) -> str | None:
    return part.get("name") if isinstance(part, dict) else part


def _row(planned: Row, parts: dict[str, Any], run: dict[str, Any] | None) -> Row:
    metrics = run["metrics"] if run else {}
    content = {
        **{key: planned.get(key) for key in ["run_id", *PLAN_COLUMNS]},
        "setting": planned.get("setting", "default"),
        **parts,
        **{key: _value(key, metrics.get(key)) for key in END_METRICS},
        "status": str(outcome.status(run)),
        "error": run["tags"].get(Tag.ERROR) if run else None,
        "mlflow_run_id": run["mlflow_run_id"] if run else None,
        "tuning_id": planned.get("tuning_id"),
    }
    return {key: content.get(key) for key in COLUMNS}


def _value(key: str, value: float | None) -> float | int | None:
    """None for what JSON cannot hold (nan, infinities)."""
    if value is None or not math.isfinite(value):
        return None
    return round(value) if key in WHOLE else value

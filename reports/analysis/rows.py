"""The study's plan joined with the store: one row per planned run, fast (no pandas)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from bench.core.collapse import collapsed
from bench.core.records.looks import Ledger
from bench.core.records.planned import PlannedRow
from bench.core.records.runs import RunRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import END_METRICS, Metric, Status
from bench.core.spec import PartSpec, StrategySpec
from bench.storage.places import store_uri
from bench.tracking.store import outcome, read_runs, read_study


class Row(TypedDict):
    """A planned run joined with what is stored of it, as JSON can hold it; None: not known.

    The metrics are all of `END_METRICS`; accuracies are fractions, times seconds, memory bytes. collapsed: as
    `bench.core.collapse` has it, of finished runs.
    """

    run_id: str
    status: str
    dataset: str
    similarity: str
    size: str
    cell: str
    n_per_class: int
    backbone: str
    strategy: str
    setting: str
    seed: int
    freeze: str | None
    lr_policy: str | None
    regularize: str | None
    val_accuracy: float | None
    val_images: int | None
    test_accuracy: float | None
    val_nll: float | None
    test_mean_class_accuracy: float | None
    test_nll: float | None
    test_ece: float | None
    ncm_test_accuracy: float | None
    test_largest_class: float | None
    train_accuracy: float | None
    train_largest_class: float | None
    collapsed: str | None
    prepare_seconds: float | None
    train_seconds: float | None
    eval_seconds: float | None
    total_seconds: float | None
    teacher_seconds: float | None
    cached_feature_seconds: float | None
    ncm_seconds: float | None
    train_images_per_second: float | None
    vectorized_runs: float | None
    micro_batch: float | None
    samples_seen: float | None
    peak_memory_bytes: int | None
    peak_host_memory_bytes: int | None
    params_trainable: int | None
    params_total: int | None
    forward_flops_per_image: int | None
    energy_joules: float | None
    error: str | None
    mlflow_run_id: str | None
    tuning_id: str | None


COLUMNS = list(Row.__annotations__)
"""Keys of a row, in order."""

WHOLE = {
    Metric.VAL_IMAGES,
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

    stored: all runs of the experiment, searches and their trials among them. uri: of the store, for what is read later.
    """

    document: StudyRecord
    rows: list[Row]
    runs: list[RunRecord]
    stored: list[RunRecord]
    uri: str = ""

    @property
    def ledger(self) -> Ledger:
        """The looks at its verdicts so far."""
        return outcome.ledger(self.stored)


def condition_of(row: Row) -> tuple[str, int, str]:
    """What strategies are compared under: dataset, images per class and backbone of a row."""
    return row["dataset"], row["n_per_class"], row["backbone"]


def finished(rows: Iterable[Row]) -> list[Row]:
    """The runs that count: finished, with a test accuracy."""
    return [row for row in rows if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None]


def accuracy_of(row: Row) -> float:
    """Test accuracy of one of the runs that `finished` gives, a fraction."""
    accuracy = row[Metric.TEST_ACCURACY]
    assert accuracy is not None
    return accuracy


def seconds_spent(row: Row) -> float | None:
    """Of training and preparation; None where training was not timed."""
    trained = row[Metric.TRAIN_SECONDS]
    return None if trained is None else trained + (row[Metric.PREPARE_SECONDS] or 0.0)


def metric(row: Row, key: str) -> float | None:
    """The value of an end metric, which may be any."""
    return cast(float | None, row.get(key))


def known(rows: Sequence[Row], key: str) -> list[float]:
    """The values of a metric, of the rows that have it."""
    return [value for row in rows if (value := metric(row, key)) is not None]


def read(name: str, store: str | None = None) -> StoredStudy:
    """The study `name` as it stands in the store now. Raises `UserError` where there is none."""
    uri = store_uri(store)
    runs = read_runs(uri, name, params=())
    return join(read_study(uri, name, runs), runs, uri)


def join(document: StudyRecord, runs: Iterable[RunRecord], uri: str = "") -> StoredStudy:
    """Plan rows of `document` with the final runs that carry their run id."""
    everything = list(runs)
    stored = outcome.finals(everything)
    parts = {strategy.label: _parts(strategy) for strategy in document.strategies}
    chosen = [stored.get(planned.run_id) for planned in document.plan]
    rows = [
        _row(planned, parts.get(planned.strategy, {}), run)
        for planned, run in zip(document.plan, chosen, strict=True)
    ]
    return StoredStudy(document, rows, [run for run in chosen if run], everything, uri)


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
        "collapsed": collapsed(metrics) if outcome.status(run) == Status.FINISHED else None,
        "error": run.error if run else None,
        "mlflow_run_id": run.mlflow_run_id if run else None,
    }
    return cast(Row, {key: content.get(key) for key in COLUMNS})


def _value(key: str, value: float | None) -> float | int | None:
    """None for what JSON cannot hold (nan, infinities)."""
    if value is None or not math.isfinite(value):
        return None
    return round(value) if key in WHOLE else value

"""The same study in fewer bytes: what results and advice rest on, for files that are kept or sent in numbers."""

from __future__ import annotations

from dataclasses import replace
from math import floor, isfinite, log10

from bench.core.metrics import DECLARATIONS, Kind, Metric
from bench.core.records.runs import RunRecord
from bench.core.schema import Purpose, Tag
from bench.tracking.exchange.file import Exported

TAGS = {
    Tag.RUN_ID, Tag.STATUS, Tag.PURPOSE, Tag.ERROR, Tag.CELL, Tag.SIMILARITY, Tag.SIZE, Tag.DATASET, Tag.N_PER_CLASS,
    Tag.BACKBONE, Tag.STRATEGY, Tag.SEED, Tag.SETTING, Tag.TUNING_ID, Tag.BUDGET, Tag.CHOSEN, Tag.TRIAL, Tag.PARENT,
    Tag.DEVICE, Tag.COLLAPSED, Tag.PRECISION, Tag.VERSIONS, Tag.GIT_COMMIT, Tag.TEST_SET,
}  # fmt: skip
KINDS = (Kind.RESULT, Kind.COST, Kind.SEARCH)
"""Metrics of these kinds stay. What is counted in images, accuracies above all, stays exact."""

DIGITS = 3
"""Of what is measured in seconds or bytes: more are noise."""

PARAMETERS = "hyperparameter."
KEPT = {each.key for each in DECLARATIONS if each.kind in KINDS}
COUNTED = {each.key for each in DECLARATIONS if each.unit in ("count", "share")} - {
    *(Metric.TEST_ECE, Metric.TUNED_VAL_SMOOTHED, Metric.DEFAULT_VAL_SMOOTHED, Metric.SMOOTHED_STANDARD_ERROR)
}


def compact(content: Exported) -> Exported:
    """What is left without the rest; runs are numbered."""
    ids = {run.mlflow_run_id: str(i) for i, run in enumerate(content.runs)}
    runs = [run if run.purpose == Purpose.STUDY else _smaller(run, ids) for run in content.runs]
    runs = [replace(run, mlflow_run_id=ids[run.mlflow_run_id]) for run in runs]
    predictions = {ids[key]: value for key, value in content.predictions.items()}
    return Exported(content.study, runs, predictions)


def _smaller(run: RunRecord, ids: dict[str, str]) -> RunRecord:
    tags = {key: value for key, value in run.tags.items() if key in TAGS}
    if Tag.PARENT in tags:
        tags[Tag.PARENT] = ids[tags[Tag.PARENT]]
    kept = {key: value for key, value in run.metrics.items() if key in KEPT}
    metrics = {key: value if key in COUNTED else _rounded(value) for key, value in kept.items()}
    params = {key: value for key, value in run.params.items() if key.startswith(PARAMETERS)}
    return replace(run, name="", start_time=None, end_time=None, tags=tags, params=params, metrics=metrics)


def _rounded(value: float) -> float:
    if not value or not isfinite(value):
        return value
    return round(value, DIGITS - 1 - floor(log10(abs(value))))

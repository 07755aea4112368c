"""Runs and studies that were stored under former names: refused, in one message that says what to do.

They cannot be counted: the names are those of settings that are part of a run's identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Tag
from bench.core.secrets import redacted
from bench.planning.former_words import FIELDS

TAGS = {"numerics": Tag.PRECISION}
METRICS = {
    "train_image_steps": Metric.SAMPLES_SEEN,
    "borrowed_seconds": Metric.CACHED_FEATURE_SECONDS,
    "trained_together": Metric.VECTORIZED_RUNS,
}
PARAMS = {"train.numerics": "train.precision"}
"""Of tags, metrics and parameters: then and now. Fields of a study document: those of study files."""


def refuse_runs(uri: str, experiment: str, runs: Iterable[RunRecord]) -> None:
    """Raises `UserError` where a run has a former name, as far as tags, parameters and metrics were read."""
    for run in runs:
        found = [f"tag {old} (now {new})" for old, new in TAGS.items() if old in run.tags]
        found += [f"metric {old} (now {new})" for old, new in METRICS.items() if old in run.metrics]
        found += [f"parameter {old} (now {new})" for old, new in PARAMS.items() if old in run.params]
        if found:
            raise _refusal(uri, experiment, found)


def refuse_document(uri: str, experiment: str, document: Mapping[str, Any]) -> None:
    """Raises `UserError` where a study document has a former field."""
    strategies = document.get("strategies") or []
    sections = [document.get("train") or {}, *(each.get("freeze") or {} for each in strategies)]
    found = [
        f"field {old} of study.json (now {new})"
        for old, new in FIELDS.items()
        if any(old in section for section in sections)
    ]
    if found:
        raise _refusal(uri, experiment, found)


def _refusal(uri: str, experiment: str, found: list[str]) -> UserError:
    return UserError(
        f"study {experiment!r} in store {redacted(uri)} was stored under former names: {', '.join(found)}; its results "
        "cannot be read or gone on with. Give the study another name (--set name=NAME), use another store (--store), or "
        "delete that experiment in MLflow"
    )

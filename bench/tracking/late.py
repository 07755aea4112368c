"""What is known of a run only after it has ended."""

from __future__ import annotations

from collections.abc import Mapping

from bench.core.schema import Metric, Purpose, Tag
from bench.tracking import store
from bench.tracking.store import outcome
from bench.tracking.store.client import MlflowClient


def log_scores(uri: str, study: str, scores: Mapping[str, float]) -> None:
    """Log how well the unchanged network does, by run identity, to the runs that count and do not have it yet."""
    client = MlflowClient(uri)
    tags, metrics = [Tag.RUN_ID, Tag.PURPOSE, Tag.STATUS], [Metric.NCM_TEST_ACCURACY]
    runs = store.read_runs(
        uri, study, tags=tags, params=(), metrics=metrics, tagged={Tag.PURPOSE: [Purpose.FINAL]}
    )
    for run_id, run in outcome.finals(runs).items():
        if run_id in scores and Metric.NCM_TEST_ACCURACY not in run.metrics:
            client.log_metric(run.mlflow_run_id, Metric.NCM_TEST_ACCURACY, scores[run_id])

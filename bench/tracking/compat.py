"""What is used of MLflow beyond its documented interface, in one place. Imports no MLflow: its store is read without.

`tests/tracking/test_compat.py` says which part has moved. Besides these, `bench.tracking.views` writes what MLflow's UI
saves of a view (the tag below); `tests/browser` opens such views in the real UI.
"""

from __future__ import annotations

from bench.core.compat import VersionRange
from bench.core.compat.parts import Part

TESTED = VersionRange("mlflow", "3.17", "3.17")
"""Releases of MLflow that this was tested with."""

TABLES = {
    "experiments": ("name", "experiment_id", "lifecycle_stage"),
    "runs": (
        *("run_uuid", "name", "status", "start_time", "end_time", "artifact_uri"),
        *("experiment_id", "lifecycle_stage"),
    ),
    "tags": ("run_uuid", "key", "value"),
    "params": ("run_uuid", "key", "value"),
    "latest_metrics": ("run_uuid", "key", "value", "is_nan"),
    "metrics": ("run_uuid", "key", "value", "is_nan", "step", "timestamp"),
}
"""Tables and columns of MLflow's database that `bench.tracking.store.sql` reads: MLflow's own search takes
20 times as long."""

OUT_OF_DATE = "out-of-date database schema"
"""In the message of an exception, where a database is of another version of MLflow: its class says nothing."""

CAUSED_BY, END_OF_CAUSE = "(Caused by ", '"))'
"""Around the reason in the message of an exception, where a server does not answer."""

SAVED_VIEW = "mlflow.sharedViewState."
"""Beginning of an experiment's tag that holds a view of the UI."""

EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of an experiment by which the UI opens on its training runs, and not on its pages for language models."""

MONITOR = (
    *("_shutdown_event", "_metrics_prefix", "_logging_step", "node_id", "monitors"),
    *("samples_before_logging", "sampling_interval"),
)
"""Attributes of MLflow's monitor of system metrics that `bench.tracking.system` reads or sets."""

_MONITOR = "mlflow.system_metrics.system_metrics_monitor"
_REPOSITORY = "mlflow.store.artifact.artifact_repository_registry"

PARTS = (
    Part(_MONITOR, "SystemMetricsMonitor.monitor", "sample without asking the store whether the run goes on"),
    Part(_MONITOR, "SystemMetricsMonitor.collect_metrics", "take one more sample at a run's end"),
    Part(_MONITOR, "SystemMetricsMonitor.aggregate_metrics", "take one more sample at a run's end"),
    Part(
        _MONITOR,
        "SystemMetricsMonitor.publish_metrics",
        "send samples through the run's own queue",
        ("metrics",),
    ),
    Part(
        _REPOSITORY,
        "get_artifact_repository",
        "delete artifacts of which a full disk left half",
        ("artifact_uri", "tracking_uri"),
    ),
)

"""MLflow's client: patient, with telemetry off (unless the user turned it on) and its chatter silenced."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from urllib.parse import urlsplit

from bench.tracking.store.patience import patient

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# One request is one try: `bench.tracking.store.patience` repeats it, knows what must not be done twice, and does not
# sleep for two minutes when the server is back after one. MLflow's own tries, 4 minutes of them, would come on top.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

from mlflow.tracking import MlflowClient as _MlflowClient

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback of what it raises anyway

__all__ = ["MlflowClient"]

IDEMPOTENT = (
    "get_experiment_by_name",
    "search_experiments",
    "search_runs",
    "get_run",
    "get_metric_history",
    "log_batch",  # metrics of the same time, step and value are one; so are parameters and tags
    "log_text",
    "log_artifacts",
    "set_tag",
    "set_experiment_tag",
    "set_terminated",
    "update_run",
)
"""Methods that wait for the store themselves. What creates something is repeated by its caller, who looks first."""

DATABASES = {"postgresql", "mysql", "mssql"}


class MlflowClient(_MlflowClient):
    """MLflow's client for the store `uri`, with as much patience as was granted."""

    def __init__(self, uri: str) -> None:
        self._connect(uri)

    @patient
    def _connect(self, uri: str) -> None:
        if urlsplit(uri).scheme.split("+")[0] in DATABASES:
            _reach(uri)
        super().__init__(uri)


for name in IDEMPOTENT:
    setattr(MlflowClient, name, patient(getattr(_MlflowClient, name)))


@lru_cache
def _reach(uri: str) -> None:
    """Connect once. MLflow's first connection to a database that is away is an error only after 100 s."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with create_engine(uri, poolclass=NullPool).connect():
        return

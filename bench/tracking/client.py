"""MLflow's client, with telemetry off (unless the user turned it on) and its chatter silenced."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from bench.errors import UserError

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.ERROR)

__all__ = ["MlflowClient", "translated"]


@contextmanager
def translated() -> Iterator[None]:
    """MLflow's refusal of a store, as the user's mistake that it is."""
    try:
        yield
    except MlflowException as error:
        raise UserError(f"the tracking store cannot be used: {error.message}") from None

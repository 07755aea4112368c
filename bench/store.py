"""Reading an MLflow store, fast. The only other module that touches MLflow is the writer, `bench.tracking`.

A SQLite store is read with the standard library (`bench.store_sqlite`): importing MLflow takes 2 s and its
search 4 s per 2,000 runs, raw SQL .2 s, and planning must answer in less. Every other store goes through
MLflow's client, imported on use.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bench import store_sqlite
from bench.errors import UserError, nearest
from bench.schema import ARTIFACT_STUDY, Purpose, Tag

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs per request


def experiments(uri: str) -> list[str]:
    """Names of the store's active experiments, sorted. Raises `UserError` where the store cannot be read."""
    return sorted(experiment_ids(uri))


def experiment_ids(uri: str) -> dict[str, str]:
    """MLflow's id of each active experiment, by name. Raises `UserError` where the store cannot be read."""
    path = sqlite_path(uri)
    if path is not None:
        return store_sqlite.experiment_ids(path)
    with _client(uri) as client:
        found: dict[str, str] = {}
        page = client.search_experiments()
        while True:
            found |= {experiment.name: experiment.experiment_id for experiment in page}
            if not page.token:
                return found
            page = client.search_experiments(page_token=page.token)


def read_runs(uri: str, experiment: str) -> list[dict[str, Any]]:
    """The experiment's active runs, oldest first; [] where the database file or the experiment is missing.

    Keys: mlflow_run_id, name, status (MLflow's), start_time and end_time (ms since 1970 or None),
    artifact_uri, tags, params, metrics (last values, may be nan).
    Raises `UserError` where the store cannot be read.
    """
    path = sqlite_path(uri)
    if path is not None:
        return _in_order(store_sqlite.runs(path, experiment))
    with _client(uri) as client:
        return _in_order(_from_entity(run) for run in _search(client, experiment))


def metric_history(uri: str, experiment: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """All logged values of `keys`, for learning curves: mlflow_run_id, key, step, value, in that order.

    Over a server this is one request per run and key.
    """
    path = sqlite_path(uri)
    if path is not None:
        values = store_sqlite.history(path, experiment, keys)
    else:
        with _client(uri) as client:
            values = _client_history(client, experiment, keys)
    return sorted(values, key=lambda value: (value["mlflow_run_id"], value["key"], value["step"]))


def study_document(uri: str, experiment: str, runs: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    """`study.json` of the experiment's latest study run. `runs`: what `read_runs` gave, where it is at hand.

    Raises `UserError` where the study, or its document, is not in the store.
    """
    runs = read_runs(uri, experiment) if runs is None else runs
    studies = [run for run in runs if run["tags"].get(Tag.PURPOSE) == Purpose.STUDY]
    if not studies:
        known = experiments(uri)
        why = "holds no study run" if experiment in known else "is unknown"
        others = [name for name in known if name not in (experiment, "Default")]
        raise UserError(f"study {experiment!r} {why} in store {redacted(uri)}{nearest(experiment, others)}")
    latest = max(studies, key=lambda run: run["start_time"] or 0)
    try:
        return json.loads(_artifact(uri, latest["artifact_uri"], ARTIFACT_STUDY))
    except (OSError, ValueError) as error:
        where = f"{ARTIFACT_STUDY} of MLflow run {latest['mlflow_run_id']}"
        raise UserError(f"study {experiment!r}: {where} is unreadable: {error}") from error


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """What MLflow, its database or a driver that is not installed refuse, as a `UserError` that names the store."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ModuleNotFoundError as error:
        hint = "; pip install 'finetune-bench[postgres]'" if uri.startswith("postgres") else ""
        reason = f"the Python package {error.name} is not installed{hint}"
    except MlflowException as error:
        reason = error.message
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
    else:
        return
    raise UserError(f"store {redacted(uri)} cannot be used: {reason}")


def redacted(uri: str) -> str:
    """`uri` without user name and password, for messages and reports."""
    return re.sub(r"(?<!sqlite)://\S*@", "://…@", uri)  # up to the last @: a password may hold one


def sqlite_path(uri: str) -> Path | None:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; None for every other kind of store."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix).partition("?")[0]) if uri.startswith(prefix) else None


def _in_order(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(runs, key=lambda run: (run["start_time"] or 0, run["mlflow_run_id"]))


@contextmanager
def _client(uri: str) -> Iterator[MlflowClient]:
    """MLflow's client, its errors turned into a `UserError` that names the store."""
    from mlflow import MlflowClient

    with translated(uri):
        yield MlflowClient(uri)


def _search(client: MlflowClient, experiment: str) -> Iterator[Run]:
    """The experiment's active runs, page by page."""
    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        return
    token = None
    while True:
        page = client.search_runs([found.experiment_id], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _from_entity(run: Run) -> dict[str, Any]:
    info, data = run.info, run.data
    return {
        "mlflow_run_id": info.run_id,
        "name": info.run_name,
        "status": info.status,
        "start_time": info.start_time,
        "end_time": info.end_time,
        "artifact_uri": info.artifact_uri,
        "tags": dict(data.tags),
        "params": dict(data.params),
        "metrics": dict(data.metrics),
    }


def _client_history(client: MlflowClient, experiment: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"mlflow_run_id": run.info.run_id, "key": key, "step": value.step, "value": value.value}
        for run in _search(client, experiment)
        for key in keys
        if key in run.data.metrics
        for value in sorted(client.get_metric_history(run.info.run_id, key), key=lambda v: v.timestamp)
    ]


def _artifact(uri: str, artifact_uri: str, name: str) -> str:
    """Text of a run's artifact: from disk where it lies there, else through MLflow."""
    parts = urlsplit(artifact_uri)
    if parts.scheme in ("", "file"):
        folder = Path(unquote(parts.path) if parts.scheme else artifact_uri)
        return (_local(uri, folder) / name).read_text(encoding="utf-8")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one small file needs no bar
    with _client(uri):
        from mlflow.artifacts import download_artifacts

        local = download_artifacts(artifact_uri=f"{artifact_uri}/{name}", tracking_uri=uri)
        return Path(local).read_text(encoding="utf-8")


def _local(uri: str, folder: Path) -> Path:
    """`folder`, or its place beside the database if both were moved together: MLflow keeps full paths."""
    database = sqlite_path(uri)
    if database is None or folder.exists():
        return folder
    root = next((i for i, part in enumerate(folder.parts) if part in ("mlruns", "mlartifacts")), 0)
    moved = database.parent / Path(*folder.parts[root:])
    return moved if moved.exists() else folder

"""Reading an MLflow store, fast. The only other module that touches MLflow is the writer, `bench.tracking`.

SQLite and PostgreSQL are read by SQL (`bench.tracking.store.sql`): importing MLflow takes 2 s and its search 4 s per 2,000
runs, raw SQL .2 s, and planning must answer in less. Every other store, a server above all, goes through MLflow's
client, imported on use.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bench.core.errors import UserError, nearest
from bench.core.schema import ARTIFACT_STUDY, Purpose, Tag
from bench.core.secrets import redacted as redacted  # what tells of a store takes it from here
from bench.tracking.store import postgres, sql, sqlite
from bench.tracking.store.patience import patient, patiently
from bench.tracking.store.sql import Select, Wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs per request
EVERYTHING = Wanted()
ENDS = '"))'  # of the cause within MLflow's message


def experiments(uri: str) -> list[str]:
    """Names of the store's active experiments, sorted. Raises `UserError` where the store cannot be read."""
    return sorted(experiment_ids(uri))


@patient
def experiment_ids(uri: str) -> dict[str, str]:
    """MLflow's id of each active experiment, by name. Raises `UserError` where the store cannot be read."""
    if _is_sql(uri):
        with _database(uri) as select:
            return sql.experiment_ids(select)
    with _client(uri) as client:
        found: dict[str, str] = {}
        page = client.search_experiments()
        while True:
            found |= {experiment.name: experiment.experiment_id for experiment in page}
            if not page.token:
                return found
            page = client.search_experiments(page_token=page.token)


@patient
def deleted_experiment(uri: str, name: str) -> str | None:
    """MLflow's id of the experiment of this name where it is deleted: in MLflow's trash, its runs with it.

    Raises `UserError` where the store cannot be read.
    """
    if _is_sql(uri):
        with _database(uri) as select:
            return sql.experiment_ids(select, "deleted").get(name)
    with _client(uri) as client:
        found = client.get_experiment_by_name(name)
        return found.experiment_id if found and found.lifecycle_stage == "deleted" else None


def restoring(uri: str, experiment_id: str) -> str:
    """The command that brings a deleted experiment back."""
    return f"MLFLOW_TRACKING_URI={redacted(uri)} mlflow experiments restore --experiment-id {experiment_id}"


@patient
def read_runs(
    uri: str,
    experiment: str,
    *,
    tags: Sequence[str] | None = None,
    params: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    tagged: Mapping[str, Sequence[str]] | None = None,
    status: str | None = None,
) -> list[dict[str, Any]]:
    """The experiment's active runs, oldest first; [] where the database file or the experiment is missing.

    Keys: mlflow_run_id, name, status (MLflow's), start_time and end_time (ms since 1970 or None),
    artifact_uri, tags, params, metrics (last values, may be nan).
    `tags`, `params`, `metrics`: only these keys of them, by default all: most of the time of reading a large store goes
    into them. `tagged`: only runs that have, for each of these keys, one of these values. `status`: only these, MLflow's.
    Raises `UserError` where the store cannot be read.
    """
    wanted = Wanted(tags, params, metrics, tagged or {}, status)
    if _is_sql(uri):
        with _database(uri) as select:
            return _in_order(sql.runs(select, experiment, wanted))
    with _client(uri) as client:
        return _in_order(_from_entity(run, wanted) for run in _search(client, experiment, wanted))


@patient
def metric_history(uri: str, experiment: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """All logged values of `keys`, for learning curves: mlflow_run_id, key, step, value, in that order.

    Over a server this is one request per run and key.
    """
    if _is_sql(uri):
        with _database(uri) as select:
            values = sql.history(select, experiment, keys)
    else:
        with _client(uri) as client:
            values = _client_history(client, experiment, keys)
    return sorted(values, key=lambda value: (value["mlflow_run_id"], value["key"], value["step"]))


def study_document(uri: str, experiment: str, runs: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    """`study.json` of the experiment's latest study run. `runs`: what `read_runs` gave, where it is at hand.

    Raises `UserError` where the study, or its document, is not in the store.
    """
    if runs is None:
        runs = read_runs(uri, experiment, params=(), metrics=(), tagged={Tag.PURPOSE: [Purpose.STUDY]})
    studies = [run for run in runs if run["tags"].get(Tag.PURPOSE) == Purpose.STUDY]
    if not studies:
        known = experiments(uri)
        others = [name for name in known if name not in (experiment, "Default")]
        why = _why_no_study(uri, experiment, known) or f"is unknown in store {redacted(uri)}"
        raise UserError(f"study {experiment!r} {why}{nearest(experiment, others)}")
    latest = max(studies, key=lambda run: run["start_time"] or 0)
    try:
        document: dict[str, Any] = json.loads(_artifact(uri, latest["artifact_uri"], ARTIFACT_STUDY))
        return document
    except (OSError, ValueError) as error:
        where = f"{ARTIFACT_STUDY} of MLflow run {latest['mlflow_run_id']}"
        raise UserError(f"study {experiment!r}: {where} is unreadable: {error}") from error


def _why_no_study(uri: str, experiment: str, known: Sequence[str]) -> str:
    """'' where there is no trace of it."""
    if experiment in known:
        return (
            f"holds no study run in store {redacted(uri)}: it was never begun, or that run is deleted in MLflow "
            "(`bench run` with its study file writes it anew)"
        )
    number = deleted_experiment(uri, experiment)
    return (
        f"is deleted in MLflow, in store {redacted(uri)}; to bring it back: {restoring(uri, number)}"
        if number
        else ""
    )


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """What MLflow, its database or a driver that is not installed refuse, as a `UserError` that names the store."""
    try:
        yield
    except Exception as error:
        reason = _refusal(uri, error)
        if reason is None:
            raise
        raise UserError(f"store {redacted(uri)} cannot be used: {redacted(reason, uri)}") from error


OTHER_VERSION = (
    "its tables are of another version of MLflow than this one; where this one is the newer, `mlflow db upgrade` "
    "adapts them, once you have a copy"
)


def _refusal(uri: str, error: Exception) -> str | None:
    """The reason in one line; None for an error of another kind. Imports neither: who raised it has been imported."""
    if isinstance(error, ModuleNotFoundError):
        hint = "; pip install 'finetune-bench[postgres]'" if uri.startswith("postgres") else ""
        return f"the Python package {error.name} is not installed{hint}"
    mlflow, sqlalchemy, alembic = map(
        sys.modules.get, ("mlflow.exceptions", "sqlalchemy.exc", "alembic.util")
    )
    if alembic and isinstance(error, alembic.CommandError):
        return OTHER_VERSION
    if mlflow and isinstance(error, mlflow.MlflowException):
        if "out-of-date database schema" in str(error.message):
            return OTHER_VERSION
        message, unreached, cause = str(error.message).partition("(Caused by ")
        return f"it does not answer: {cause.removesuffix(ENDS).rpartition(': ')[2]}" if unreached else message
    if sqlalchemy and isinstance(error, sqlalchemy.SQLAlchemyError):
        return str(error).splitlines()[0]
    return None


def sqlite_path(uri: str) -> Path | None:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; None for every other kind of store."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix).partition("?")[0]) if uri.startswith(prefix) else None


def _is_sql(uri: str) -> bool:
    return sqlite_path(uri) is not None or uri.startswith(("postgresql:", "postgresql+"))


@contextmanager
def _database(uri: str) -> Iterator[Select]:
    """The SQL database `uri`, its errors turned into a `UserError` that names the store."""
    path = sqlite_path(uri)
    if path is not None:
        with sqlite.reading(path) as select:
            yield select
        return
    with translated(uri), postgres.reading(uri) as select:
        yield select


def _in_order(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(runs, key=lambda run: (run["start_time"] or 0, run["mlflow_run_id"]))


@contextmanager
def _client(uri: str) -> Iterator[MlflowClient]:
    """MLflow's client, its errors turned into a `UserError` that names the store."""
    with translated(uri):
        from bench.tracking.store.client import MlflowClient

        yield MlflowClient(uri)


def _search(client: MlflowClient, experiment: str, wanted: Wanted = EVERYTHING) -> Iterator[Run]:
    """The experiment's wanted runs, page by page."""
    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        return
    for condition in _filters(wanted):
        token = None
        while True:
            page = client.search_runs([found.experiment_id], condition, max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                break


def _filters(wanted: Wanted) -> Iterator[str]:
    """In MLflow's language, which knows no "one of" for tags: a search for each choice of values."""
    status = [f"attributes.status = '{wanted.status}'"] if wanted.status else []
    for values in product(*wanted.tagged.values()):
        tags = [f"tags.`{key}` = '{value}'" for key, value in zip(wanted.tagged, values, strict=True)]
        yield " AND ".join([*status, *tags])


def _from_entity(run: Run, wanted: Wanted) -> dict[str, Any]:
    info, data = run.info, run.data
    return {
        "mlflow_run_id": info.run_id,
        "name": info.run_name,
        "status": info.status,
        "start_time": info.start_time,
        "end_time": info.end_time,
        "artifact_uri": info.artifact_uri,
        "tags": _only(data.tags, wanted.tags),
        "params": _only(data.params, wanted.params),
        "metrics": _only(data.metrics, wanted.metrics),
    }


def _only(content: Mapping[str, Any], keys: Sequence[str] | None) -> dict[str, Any]:
    return dict(content) if keys is None else {key: content[key] for key in keys if key in content}


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

        address = f"{artifact_uri}/{name}"
        local = patiently(lambda: download_artifacts(artifact_uri=address, tracking_uri=uri))
        return Path(local).read_text(encoding="utf-8")


def _local(uri: str, folder: Path) -> Path:
    """`folder`, or its place beside the database if both were moved together: MLflow keeps full paths."""
    database = sqlite_path(uri)
    if database is None or folder.exists():
        return folder
    root = next((i for i, part in enumerate(folder.parts) if part in ("mlruns", "mlartifacts")), 0)
    moved = database.parent / Path(*folder.parts[root:])
    return moved if moved.exists() else folder

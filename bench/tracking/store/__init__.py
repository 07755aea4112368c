"""Reading an MLflow store, fast. The only other module that touches MLflow is the writer, `bench.tracking`.

SQLite and PostgreSQL are read by SQL (`bench.tracking.store.sql`): importing MLflow takes 2 s and its search 4 s per 2,000
runs, raw SQL .2 s, and planning must answer in less. Every other store, a server above all, goes through MLflow's
client, imported on use.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from bench.core.errors import UserError, nearest
from bench.core.records.runs import MetricValue, RunRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import ARTIFACT_STUDY, Purpose, Tag
from bench.core.secrets import redacted as redacted  # what tells of a store takes it from here
from bench.tracking.store import former_names, postgres, sql, sqlite
from bench.tracking.store.patience import patient, patiently
from bench.tracking.store.refusals import translated as translated
from bench.tracking.store.sql import Select, Wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs per request
EVERYTHING = Wanted()
T = TypeVar("T")


def experiments(uri: str) -> list[str]:
    """Names of the store's active experiments, sorted. Raises `UserError` where the store cannot be read."""
    return sorted(experiment_ids(uri))


@patient
def experiment_ids(uri: str) -> dict[str, str]:
    """MLflow's id of each active experiment, by name. Raises `UserError` where the store cannot be read."""
    if _is_sql(uri):
        with _open_database(uri) as select:
            return sql.experiment_ids(select)
    with _open_client(uri) as client:
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
        with _open_database(uri) as select:
            return sql.experiment_ids(select, "deleted").get(name)
    with _open_client(uri) as client:
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
) -> list[RunRecord]:
    """The experiment's active runs, oldest first; [] where the database file or the experiment is missing.

    Args:
        tags, params, metrics: Only these keys of them, by default all: most of the time of reading a large store goes
            into them.
        tagged: Only runs that have, for each of these keys, one of these values.
        status: Only these, MLflow's.

    Raises:
        UserError: The store cannot be read, or a run was stored under former names.
    """
    wanted = Wanted(tags, params, metrics, tagged or {}, status)
    if _is_sql(uri):
        with _open_database(uri) as select:
            runs = sql.runs(select, experiment, wanted)
    else:
        with _open_client(uri) as client:
            runs = [_from_entity(run, wanted) for run in _search(client, experiment, wanted)]
    former_names.refuse_runs(uri, experiment, runs)
    return sorted(runs, key=lambda run: (run.start_time or 0, run.mlflow_run_id))


@patient
def metric_history(uri: str, experiment: str, keys: Sequence[str]) -> list[MetricValue]:
    """All logged values of `keys`, for learning curves, by run, key and step.

    Over a server this is one request per run and key.
    """
    if _is_sql(uri):
        with _open_database(uri) as select:
            values = sql.history(select, experiment, keys)
    else:
        with _open_client(uri) as client:
            values = _client_history(client, experiment, keys)
    return sorted(values, key=lambda value: value[:3])


def read_study(uri: str, experiment: str, runs: Sequence[RunRecord] | None = None) -> StudyRecord:
    """The study document of the experiment's latest study run.

    Args:
        runs: What `read_runs` gave, where it has been called.

    Raises:
        UserError: The store holds no such study, or its document is not one.
    """
    run = _study_run(uri, experiment, runs)
    document = read_document(uri, experiment, [run])
    try:
        return StudyRecord.from_json(document)
    except UserError as error:
        where = f"{ARTIFACT_STUDY} of MLflow run {run.mlflow_run_id}"
        raise UserError(
            f"study {experiment!r}: {where} is not a study document of this version: {error}"
        ) from None


def read_document(uri: str, experiment: str, runs: Sequence[RunRecord] | None = None) -> dict[str, Any]:
    """The same as the JSON that is stored."""
    run = _study_run(uri, experiment, runs)
    try:
        document: dict[str, Any] = json.loads(read_artifact(uri, run, ARTIFACT_STUDY))
    except (OSError, ValueError) as error:
        where = f"{ARTIFACT_STUDY} of MLflow run {run.mlflow_run_id}"
        raise UserError(f"study {experiment!r}: {where} is unreadable: {error}") from error
    former_names.refuse_document(uri, experiment, document)
    return document


def _study_run(uri: str, experiment: str, runs: Sequence[RunRecord] | None) -> RunRecord:
    if runs is None:
        runs = read_runs(uri, experiment, params=(), metrics=(), tagged={Tag.PURPOSE: [Purpose.STUDY]})
    studies = [run for run in runs if run.purpose == Purpose.STUDY]
    if not studies:
        known = experiments(uri)
        others = [name for name in known if name not in (experiment, "Default")]
        why = _why_no_study(uri, experiment, known) or f"is unknown in store {redacted(uri)}"
        raise UserError(f"study {experiment!r} {why}{nearest(experiment, others)}")
    return max(studies, key=lambda run: run.start_time or 0)


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


def sqlite_path(uri: str) -> Path | None:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; None for every other kind of store."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix).partition("?")[0]) if uri.startswith(prefix) else None


def _is_sql(uri: str) -> bool:
    return sqlite_path(uri) is not None or uri.startswith(("postgresql:", "postgresql+"))


@contextmanager
def _open_database(uri: str) -> Iterator[Select]:
    """The SQL database `uri`, its errors turned into a `UserError` that names the store."""
    path = sqlite_path(uri)
    if path is not None:
        with sqlite.reading(path) as select:
            yield select
        return
    with translated(uri), postgres.reading(uri) as select:
        yield select


@contextmanager
def _open_client(uri: str) -> Iterator[MlflowClient]:
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


def _from_entity(run: Run, wanted: Wanted) -> RunRecord:
    info, data = run.info, run.data
    return RunRecord(
        info.run_id,
        info.run_name,
        info.status,
        info.start_time,
        info.end_time,
        info.artifact_uri,
        _only(data.tags, wanted.tags),
        _only(data.params, wanted.params),
        _only(data.metrics, wanted.metrics),
    )


def _only(content: Mapping[str, T], keys: Sequence[str] | None) -> dict[str, T]:
    return dict(content) if keys is None else {key: content[key] for key in keys if key in content}


def _client_history(client: MlflowClient, experiment: str, keys: Sequence[str]) -> list[MetricValue]:
    return [
        MetricValue(run.info.run_id, key, value.step, value.value)
        for run in _search(client, experiment)
        for key in keys
        if key in run.data.metrics
        for value in sorted(client.get_metric_history(run.info.run_id, key), key=lambda v: v.timestamp)
    ]


def read_artifact(uri: str, run: RunRecord, name: str) -> bytes:
    """Content of a run's artifact: from disk where it lies there, else through MLflow.

    Raises `OSError` or `UserError` where it is not there, or the store cannot be read.
    """
    if on_disk(run):
        return (_local(uri, _folder(run.artifact_uri)) / name).read_bytes()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one small file needs no bar
    with _open_client(uri), TemporaryDirectory() as folder:
        from mlflow.artifacts import download_artifacts

        address = f"{run.artifact_uri}/{name}"
        local = patiently(lambda: download_artifacts(artifact_uri=address, tracking_uri=uri, dst_path=folder))
        return Path(local).read_bytes()


def on_disk(run: RunRecord) -> bool:
    """Whether its artifacts lie in a folder, not behind a server."""
    return urlsplit(run.artifact_uri).scheme in ("", "file")


def _folder(artifact_uri: str) -> Path:
    parts = urlsplit(artifact_uri)
    return Path(unquote(parts.path) if parts.scheme else artifact_uri)


def _local(uri: str, folder: Path) -> Path:
    """`folder`, or its place beside the database if both were moved together: MLflow keeps full paths."""
    database = sqlite_path(uri)
    if database is None or folder.exists():
        return folder
    root = next((i for i, part in enumerate(folder.parts) if part in ("mlruns", "mlartifacts")), 0)
    moved = database.parent / Path(*folder.parts[root:])
    return moved if moved.exists() else folder

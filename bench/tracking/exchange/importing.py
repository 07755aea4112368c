"""From a file into a store: what the store lacks of a study. Runs that are imported count as done.

Of every run the status tag is written last, as of any other, so that an import that is killed leaves nothing behind that
counts, and the same command goes on. What the store has already stays as it is.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from mlflow.entities import Metric as Point
from mlflow.entities import RunTag

from bench.core.records.runs import RunRecord
from bench.core.schema import ARTIFACT_PREDICTIONS, Purpose, Status, Tag
from bench.storage import locks
from bench.tracking import experiment, lease, ledger, store
from bench.tracking.exchange.file import Exported, read
from bench.tracking.log import MLFLOW_STATUS, PER_BATCH
from bench.tracking.opening import Opening
from bench.tracking.runs import running_tags
from bench.tracking.store import outcome, redacted
from bench.tracking.store.client import MlflowClient
from bench.tracking.store.patience import patiently

ORDER = (Purpose.TUNING, Purpose.TRIAL, Purpose.FINAL)
"""Searches before their trials, which are nested under them."""


class Identity(NamedTuple):
    """What two stores know a run by: its purpose and the hashes of what it asks for."""

    purpose: str
    of: str
    part: str = ""


@dataclass
class Imported:
    """What an import did, counted in runs, searches and trials."""

    added: int = 0
    there: int = 0


def import_file(
    uri: str, path: Path, say: Callable[[str], None], progress: Callable[[int, int], None]
) -> tuple[str, Imported]:
    """Fill a store from an exported file. -> the study's name, and what was done

    Args:
        say: Told of a deleted experiment that is set aside.
        progress: Called with how many of how many runs have been gone through.

    Raises:
        UserError: The file is no exported study, or the store cannot be written.
    """
    content = read(path)
    return content.study.name, import_content(uri, content, path.name, say, progress)


def import_content(
    uri: str,
    content: Exported,
    source: str,
    say: Callable[[str], None] = lambda message: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """The same of what was read. source: what the tag `Tag.IMPORTED` shall say.

    Raises `UserError` where another process runs the study in this store.
    """
    name = content.study.name
    with locks.exclusive(uri, name):
        experiment_id = experiment.open_store(uri, name, say)
        with _lease(uri, experiment_id, name, say):
            return _fill(uri, experiment_id, content, source, progress)


@contextmanager
def _lease(uri: str, experiment_id: str, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Of a store that other machines can reach."""
    if store.sqlite_path(uri) is not None:
        yield
        return
    with lease.held(uri, experiment_id, name, say, lost=_thread.interrupt_main):
        yield


def _fill(
    uri: str, experiment_id: str, content: Exported, source: str, progress: Callable[[int, int], None]
) -> Imported:
    known = _known(uri, content.study.name)
    writing = _Writing(uri, experiment_id, content, source)
    done, wanted = Imported(), [run for purpose in ORDER for run in content.runs if run.purpose == purpose]
    names = {run.mlflow_run_id: identity for run in wanted if (identity := _identity(run, {}))}
    for place, run in enumerate(wanted):
        identity = _identity(run, names)
        if identity in known:
            done.there += 1
            writing.new_ids[run.mlflow_run_id] = known[identity]
        elif run.purpose != Purpose.TRIAL or run.tags.get(Tag.PARENT) in writing.new_ids:
            writing.add(run)
            done.added += 1
        progress(place + 1, len(wanted))
    _enter_study(uri, experiment_id, content)
    return done


def _enter_study(uri: str, experiment_id: str, content: Exported) -> None:
    """The study document, where the store has none, and looks that its ledger lacks."""
    name, mine = content.study.name, {Tag.PURPOSE: [Purpose.STUDY]}
    if not store.read_runs(uri, name, params=(), metrics=(), tagged=mine):
        here = replace(content.study, store=redacted(uri))
        experiment.write_study(uri, experiment_id, here)
    looks = outcome.ledger(content.runs)
    ledger.enter(uri, name, looks.looks, looks.planned)


def _known(uri: str, name: str) -> dict[Identity | None, str]:
    """MLflow's id of each run that counts in the store, by identity."""
    tags = [Tag.RUN_ID, Tag.PURPOSE, Tag.STATUS, Tag.TUNING_ID, Tag.BUDGET, Tag.TRIAL, Tag.PARENT]
    runs = store.read_runs(uri, name, tags=tags, params=(), metrics=())
    over = [run for run in runs if run.has_result]
    searches = {run.mlflow_run_id: identity for run in over if (identity := _identity(run, {}))}
    return {identity: run.mlflow_run_id for run in over if (identity := _identity(run, searches))}


def _identity(run: RunRecord, searches: dict[str, Identity]) -> Identity | None:
    """None of what is no run of a plan, and of a trial whose search is not among `searches`."""
    tags = run.tags
    if run.purpose == Purpose.FINAL:
        return Identity(Purpose.FINAL, tags.get(Tag.RUN_ID, ""))
    if run.purpose == Purpose.TUNING:
        return Identity(Purpose.TUNING, tags.get(Tag.TUNING_ID, ""), tags.get(Tag.BUDGET, ""))
    parent = searches.get(tags.get(Tag.PARENT, ""))
    if run.purpose == Purpose.TRIAL and parent:
        return Identity(Purpose.TRIAL, "/".join(parent[1:]), tags.get(Tag.TRIAL, ""))
    return None


class _Writing:
    """Writes runs; knows under which ids those of the file are stored."""

    def __init__(self, uri: str, experiment_id: str, content: Exported, source: str) -> None:
        self.client = MlflowClient(uri)
        self.experiment_id, self.content, self.source = experiment_id, content, source
        self.new_ids: dict[str, str] = {}

    def add(self, run: RunRecord) -> None:
        status = Status(run.status)
        left = {Tag.STATUS} if run.mlflow_run_id in self.content.predictions else {Tag.STATUS, Tag.TEST_SET}
        tags = {k: v for k, v in run.tags.items() if k not in left} | {Tag.IMPORTED: self.source}
        if Tag.PARENT in tags:
            tags[Tag.PARENT] = self.new_ids[tags[Tag.PARENT]]
        opening = Opening(self.client, self.experiment_id, run.name, tags | running_tags(), run.params)
        opening.started = run.start_time or opening.started
        run_id = patiently(opening)
        self._metrics(run_id, run)
        self._predictions(run_id, run)
        self.client.log_batch(run_id, tags=[RunTag(Tag.STATUS, status)])
        self.client.set_terminated(run_id, MLFLOW_STATUS[status], run.end_time)
        opening.close_duplicates()
        self.new_ids[run.mlflow_run_id] = run_id

    def _metrics(self, run_id: str, run: RunRecord) -> None:
        at = run.end_time or run.start_time or 0
        points = [Point(key, value, at, 0) for key, value in run.metrics.items()]
        for i in range(0, len(points), PER_BATCH):
            self.client.log_batch(run_id, metrics=points[i : i + PER_BATCH])

    def _predictions(self, run_id: str, run: RunRecord) -> None:
        """The file, before the status says that the run is over."""
        content = self.content.predictions.get(run.mlflow_run_id)
        if content is None:
            return
        with TemporaryDirectory() as folder:
            path = Path(folder) / ARTIFACT_PREDICTIONS
            path.write_bytes(content)
            self.client.log_artifact(run_id, str(path))

"""A study in MLflow: its experiment, and the one run that holds the study's document and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mlflow.entities import Experiment, RunStatus, ViewType

from bench.core.records.study import StudyRecord
from bench.core.schema import ARTIFACT_STUDY, Purpose, Tag
from bench.storage.files import created
from bench.tracking import note, provenance, store
from bench.tracking.compat import EXPERIMENT_KIND
from bench.tracking.plain import UNPLANNED, as_stored
from bench.tracking.store.client import MlflowClient
from bench.tracking.store.patience import patient, patiently
from bench.tracking.views import all_views


def open_store(uri: str, study: str, say: Callable[[str], None] = lambda message: None) -> str:
    """Create or find the study's experiment, and return its id. One that is deleted in MLflow begins anew: `say` tells."""
    patiently(lambda: _create_database(uri))
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(study)
    if found and found.lifecycle_stage == "deleted":
        aside = _rename_deleted(client, found)
        say(
            f"experiment {study!r} was deleted in MLflow: it begins anew, and its earlier runs stay deleted, "
            f"as experiment {aside!r}"
        )
    return patiently(lambda: _find_or_create_experiment(client, uri, study))


def _find_or_create_experiment(client: MlflowClient, uri: str, study: str) -> str:
    found = client.get_experiment_by_name(study)
    if found:
        return found.experiment_id
    return client.create_experiment(
        study, artifact_location=_artifact_location(uri, study), tags=EXPERIMENT_KIND
    )


def _rename_deleted(client: MlflowClient, experiment: Experiment) -> str:
    """Give a deleted experiment another name, which it keeps in MLflow's trash. -> that name

    A name is taken as long as an experiment has it, deleted or not, and MLflow renames none that is deleted. So it is
    restored, renamed, and deleted again.
    """
    number, aside = experiment.experiment_id, f"{experiment.name} (deleted {experiment.experiment_id})"

    def deleted() -> bool:
        return bool(client.get_experiment(number).lifecycle_stage == "deleted")

    patiently(lambda: client.restore_experiment(number) if deleted() else None)
    try:
        patiently(lambda: client.rename_experiment(number, aside))
    finally:
        patiently(lambda: None if deleted() else client.delete_experiment(number))
    return aside


def _create_database(uri: str) -> None:
    """A new SQLite file, whole or absent: MLflow never gets over one of which a full disk or a kill left half the tables.

    Nor over two processes that make one at the same time.
    """
    path = store.sqlite_path(uri)
    if path is None or path.exists() or not path.parent.is_dir():
        return
    with created(path) as aside:
        MlflowClient(f"sqlite:///{aside}").search_experiments(max_results=1)


def _artifact_location(uri: str, study: str) -> str | None:
    """Beside a SQLite file, whatever folder the study was launched from; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlruns" / study).as_uri()


@patient
def write_study(uri: str, experiment_id: str, study: StudyRecord) -> str:
    """Store the study document as artifact of the experiment's one study run, and describe the experiment."""
    client = MlflowClient(uri)
    found = client.search_runs(
        [experiment_id], f"tags.{Tag.PURPOSE} = '{Purpose.STUDY}'", ViewType.ACTIVE_ONLY, 1
    )
    if found:
        run = found[0]
    else:
        tags = {Tag.PURPOSE: Purpose.STUDY, **provenance.tags()}
        run = client.create_run(experiment_id, tags=tags, run_name=f"study: {study.name}")
    run_id: str = run.info.run_id
    finished = RunStatus.to_string(RunStatus.FINISHED)
    if run.info.status != finished:
        client.set_terminated(run_id, finished)
    client.log_text(run_id, json.dumps(study.to_json(), indent=1), ARTIFACT_STUDY)
    _describe(client, experiment_id, run_id, study)
    _tag_settings(client, uri, study)
    return run_id


def _tag_settings(client: MlflowClient, uri: str, study: StudyRecord) -> None:
    """What each stored run is to the study as it is now.

    A search may choose the defaults, and with a larger budget something else; seeds and strategies come and go.
    """
    settings = {row.run_id: row.setting for row in as_stored(study.plan)}
    final = {Tag.PURPOSE: [Purpose.FINAL]}
    for run in store.read_runs(
        uri, study.name, tags=[Tag.RUN_ID, Tag.SETTING], params=(), metrics=(), tagged=final
    ):
        wanted = settings.get(run.tags.get(Tag.RUN_ID, ""), UNPLANNED)
        if run.tags.get(Tag.SETTING) != wanted:
            client.set_tag(run.mlflow_run_id, Tag.SETTING, wanted)


def _describe(client: MlflowClient, experiment_id: str, run_id: str, study: StudyRecord) -> None:
    """What the UI says of the study, and the views that it offers."""
    views = all_views(study.plan)
    created = client.get_run(run_id).info.start_time
    rows = as_stored(study.plan)
    for place, view in enumerate(views):
        client.set_experiment_tag(experiment_id, *view.tag(rows, created - place))
    text = note.experiment_note(study, experiment_id, run_id, views)
    client.set_experiment_tag(experiment_id, note.NOTE_TAG, text)
    client.set_tag(run_id, note.NOTE_TAG, note.study_note(study, experiment_id, run_id))


def log_folder(uri: str, mlflow_run_id: str, folder: Path, name: str) -> None:
    """Log a folder as artifacts of a run that has ended, such as the study run's report."""
    MlflowClient(uri).log_artifacts(mlflow_run_id, str(folder), name)

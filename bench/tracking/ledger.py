"""Writing a study's ledger of looks: each look that gave a verdict is a tag of its study run, written once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from mlflow.exceptions import MlflowException

from bench.core.records.looks import LookRecord
from bench.core.schema import LOOK, Purpose, Tag
from bench.tracking.store.client import MlflowClient
from bench.tracking.store.patience import patient


@patient
def enter(uri: str, study: str, looks: Iterable[LookRecord], planned: int = 0) -> None:
    """Enter looks that are taken just now. One that is there already stays as it is, with its date.

    Args:
        planned: Seeds that are planned now that estimates are shown; the most of all calls is kept.
    """
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None, "a study that was read"
    mine = f"tags.{Tag.PURPOSE} = '{Purpose.STUDY}'"
    run = client.search_runs([experiment.experiment_id], mine, max_results=1)[0]
    if planned > int(run.data.tags.get(Tag.PLANNED_SEEDS, "0")):
        client.set_tag(run.info.run_id, Tag.PLANNED_SEEDS, str(planned))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for look in looks:
        key = f"{LOOK}{look.cell}.{look.key}"
        if key not in run.data.tags:
            _set_once(client, run.info.run_id, key, replace(look, when=look.when or now).to_json())


def _set_once(client: MlflowClient, run_id: str, key: str, value: str) -> None:
    """A tag that somebody else sets at the same moment stays as theirs."""
    try:
        client.set_tag(run_id, key, value)
    except MlflowException:
        if key not in client.get_run(run_id).data.tags:
            raise

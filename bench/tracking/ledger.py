"""Writing a study's ledger of looks: each look that gave a verdict is a tag of its study run, written once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from bench.core.records.looks import LookRecord
from bench.core.schema import LOOK, Purpose, Tag
from bench.tracking.store.client import MlflowClient
from bench.tracking.store.patience import patient


@patient
def enter(uri: str, study: str, looks: Iterable[LookRecord]) -> None:
    """Enter looks that are taken just now. One that is there already stays as it is, with its date.

    Two who take the same look at the same time write the same, but for the date.
    """
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None, "a study that was read"
    mine = f"tags.{Tag.PURPOSE} = '{Purpose.STUDY}'"
    run = client.search_runs([experiment.experiment_id], mine, max_results=1)[0]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for look in looks:
        key = f"{LOOK}{look.cell}.{look.key}"
        if key not in run.data.tags:
            client.set_tag(run.info.run_id, key, replace(look, when=look.when or now).to_json())

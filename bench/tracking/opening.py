"""Making an MLflow run: one in effect, however often it is tried and whichever answers get lost on the way."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Param, Run, RunTag

from bench.core.schema import Status, Tag
from bench.tracking.store.client import MlflowClient

LONGEST_VALUE = 6000
PER_REQUEST = 100


class Opening:
    """A run to be made, in state RUNNING, with its tags and parameters. Calling it is a try, and may be repeated.

    MLflow gives each run it is asked for an id of its own, so a request whose answer was lost must not simply be sent
    again. The tag `Tag.ATTEMPT` tells whether it had arrived.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
    ) -> None:
        self.client, self.experiment_id, self.name = client, experiment_id, name
        self.attempt = uuid.uuid4().hex
        self.tags = {**tags, Tag.ATTEMPT: self.attempt}
        self.params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in params.items()]
        self.started = int(time.time() * 1000)  # ms since 1970, also where the store hears of it later
        self.run_id: str | None = None
        self.artifact_uri = ""  # once it is made
        self._requests = 0

    def __call__(self) -> str:
        """-> MLflow's id of the run."""
        self.run_id = self.run_id or self._found() or self._create()
        for i in range(0, len(self.params), PER_REQUEST):
            self.client.log_batch(self.run_id, params=self.params[i : i + PER_REQUEST])
        return self.run_id

    def _create(self) -> str:
        self._requests += 1
        made = self.client.create_run(self.experiment_id, self.started, self.tags, self.name)
        return self._is(made)

    def _found(self) -> str | None:
        """What an earlier request has made, whose answer was lost."""
        made = self._made() if self._requests else []
        return self._is(made[0]) if made else None

    def _is(self, made: Run) -> str:
        self.artifact_uri = made.info.artifact_uri
        run_id: str = made.info.run_id
        return run_id

    def close_duplicates(self) -> None:
        """Mark as killed what an earlier request made all the same: a server that hung may take it up after minutes."""
        if self._requests < 2:
            return
        for run in self._made():
            if run.info.run_id != self.run_id:
                killed = [
                    RunTag(Tag.STATUS, Status.KILLED),
                    RunTag(Tag.ERROR, "made twice: an answer was lost"),
                ]
                self.client.log_batch(run.info.run_id, tags=killed)
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _made(self) -> list[Run]:
        mine = f"tags.`{Tag.ATTEMPT}` = '{self.attempt}'"
        return list(
            self.client.search_runs([self.experiment_id], mine, order_by=["attributes.start_time ASC"])
        )

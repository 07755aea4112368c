"""A stored run, and its status: the one place that says what became of it, for plan, lists, reports and advice alike.

The status tag is written after everything else of a run (`bench.tracking.log`): after its artifacts, and after the last of
its metrics has been acknowledged. MLflow's own status follows in a request of its own. So a run that was killed between the
two is complete, though MLflow still shows it as running; and a run that MLflow calls finished without that tag was ended by
somebody else, and its results may be incomplete. The tag decides; MLflow's status only tells runs under way from dead ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bench.core.schema import Status, Tag

RESULTS = (Status.FINISHED, Status.DIVERGED, Status.PRUNED)
"""Statuses of runs with a result, welcome or not. A failed or killed run has none: it is tried again."""

OVER = (*RESULTS, Status.FAILED, Status.KILLED)
"""What the status tag of a run that has ended may say."""

_WITHOUT_TAG = {"RUNNING": Status.RUNNING, "SCHEDULED": Status.RUNNING, "FAILED": Status.FAILED}
"""By MLflow's status, of runs whose tag tells no end; every other one was ended from outside, which is a kill."""


class MetricValue(NamedTuple):
    """One logged value of a metric, for learning curves."""

    mlflow_run_id: str
    key: str
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One MLflow run of a study, of whatever purpose: planned run, search, trial, study or driver.

    Attributes:
        mlflow_run_id: MLflow's id; the identity of what was run is the tag `Tag.RUN_ID`.
        mlflow_status: MLflow's own status, as "RUNNING"; the run's status is `status`.
        start_time: Milliseconds since 1970; None where MLflow has none.
        end_time: The same of its end.
        artifact_uri: Where its artifacts lie.
        tags: As far as they were read.
        params: As far as they were read.
        metrics: Last values, which may be nan, as far as they were read.
    """

    mlflow_run_id: str
    name: str
    mlflow_status: str
    start_time: int | None
    end_time: int | None
    artifact_uri: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    @property
    def status(self) -> Status:
        """What became of the run."""
        told = self.tags.get(Tag.STATUS)
        return Status(told) if told in OVER else _WITHOUT_TAG.get(self.mlflow_status, Status.KILLED)

    @property
    def has_result(self) -> bool:
        """Whether the run is over for good: neither under way nor to be tried again."""
        return self.status in RESULTS

    @property
    def purpose(self) -> str | None:
        """One of `Purpose`; None of a run that this program has not written."""
        return self.tags.get(Tag.PURPOSE)

    @property
    def error(self) -> str | None:
        """What ended the run before its time, in words."""
        return self.tags.get(Tag.ERROR)

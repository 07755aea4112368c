"""What of a plan is done: the plan joined with the store. Torch-free and MLflow-free, so that planning is fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench import store
from bench.estimate import Estimator
from bench.schema import Metric, Purpose, Status, Tag
from bench.study.plan import Plan, PlannedRun

DONE = {Status.FINISHED, Status.DIVERGED, Status.PRUNED}
"""Results, welcome or not. A failed or killed run is no result: it is tried again."""


@dataclass(frozen=True)
class State:
    """The runs of a plan by what became of them, and an estimator that has seen the finished ones."""

    plan: Plan
    done: list[PlannedRun]
    missing: list[PlannedRun]
    estimator: Estimator

    def remaining(self, workers: int) -> float | None:
        return self.estimator.remaining([run.row() for run in self.missing], workers)


def read(plan: Plan, uri: str) -> State:
    """Join by the runs' identity. Stored runs that the plan does not ask for are left alone."""
    stored: dict[str, dict[str, Any]] = {}
    for run in store.read_runs(uri, plan.study.name):
        tags = run["tags"]
        if (
            tags.get(Tag.PURPOSE) == Purpose.FINAL
            and tags.get(Tag.STATUS) in DONE
            and run["status"] != "RUNNING"
        ):
            stored[tags[Tag.RUN_ID]] = run
    estimator = Estimator()
    done = [run for run in plan.runs if run.run_id in stored]
    for run in done:
        seconds = stored[run.run_id]["metrics"].get(Metric.TOTAL_SECONDS)
        if seconds:
            estimator.learn(run.row(), seconds)
    return State(plan, done, [run for run in plan.runs if run.run_id not in stored], estimator)

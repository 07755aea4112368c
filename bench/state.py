"""What of a plan is done: the plan joined with the store. Torch-free and MLflow-free, so that planning is fast."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench import store
from bench.estimate import Estimator
from bench.schema import Metric, Purpose, Status, Tag
from bench.study.plan import Plan, PlannedRun

DONE = {Status.FINISHED, Status.DIVERGED, Status.PRUNED}
"""Results, welcome or not. A failed or killed run is no result: it is tried again."""

WANTED: dict[str, Any] = {
    "tags": [Tag.RUN_ID, Tag.PURPOSE, Tag.STATUS, Tag.TUNING_ID, Tag.BUDGET, Tag.CHOSEN],
    "params": [],
    "metrics": [Metric.TOTAL_SECONDS],
    "tagged": {Tag.PURPOSE: [Purpose.FINAL, Purpose.TUNING]},
}
"""What of a store says what is done: little, and of neither trials nor the study run."""


@dataclass(frozen=True)
class State:
    """The runs of a plan by what became of them, and an estimator that has seen the finished ones.

    plan: with the knobs that finished searches have chosen. `waiting` are runs whose search is not over, and `searches`
    these searches, each with one of the runs that wait for it.
    """

    plan: Plan
    done: list[PlannedRun]
    missing: list[PlannedRun]
    waiting: list[PlannedRun]
    searches: list[PlannedRun]
    estimator: Estimator

    def remaining(self, workers: int) -> float | None:
        """Expected seconds of wall time; None while nothing has finished."""
        rows = [run.row() for run in [*self.missing, *self.waiting]]
        runs = self.estimator.remaining(rows, workers)
        searching = [self._search_seconds(run) for run in self.searches]
        if runs is None or any(s is None for s in searching):
            return None
        return runs + sum(s for s in searching if s is not None) / workers

    def _search_seconds(self, run: PlannedRun) -> float | None:
        assert run.tuning
        budget, each = run.tuning.budget, self.estimator.seconds(run.row())
        if budget.unit == "seconds":
            return budget.amount
        if budget.unit == "image_steps" or each is None:
            return None
        return each * budget.amount * run.tuning.method.splits


def read(plan: Plan, uri: str) -> State:
    """Join by the runs' identity. Stored runs that the plan does not ask for are left alone."""
    runs = store.read_runs(uri, plan.study.name, **WANTED)
    chosen = choices(runs)
    searches = {
        key: run
        for key, run in plan.tunings.items()
        if run.tuning and (key, str(run.tuning.budget)) not in chosen
    }
    plan = plan.with_choices({key: params for (key, _), params in chosen.items() if key not in searches})
    stored = {run["tags"][Tag.RUN_ID]: run for run in runs if counts(run)}
    estimator = Estimator()
    done = [run for run in plan.runs if run.run_id in stored]
    for run in done:
        seconds = stored[run.run_id]["metrics"].get(Metric.TOTAL_SECONDS)
        if seconds:
            estimator.learn(run.row(), seconds)
    missing = [run for run in plan.runs if run.run_id not in stored and not run.waiting]
    distinct = list({run.run_id: run for run in reversed(missing)}.values())[::-1]  # tuned may equal default
    waiting = [run for run in plan.runs if run.waiting]
    return State(plan, done, distinct, waiting, list(searches.values()), estimator)


def counts(run: dict[str, Any]) -> bool:
    """Whether a stored run is a planned one's result."""
    tags = run["tags"]
    over = tags.get(Tag.STATUS) in DONE and run["status"] != "RUNNING"
    return over and tags.get(Tag.PURPOSE) == Purpose.FINAL


def choices(runs: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """(identity, budget) of the finished searches -> the knobs that they have chosen."""
    tags = (run["tags"] for run in runs)
    return {
        (t[Tag.TUNING_ID], t[Tag.BUDGET]): json.loads(t[Tag.CHOSEN])
        for t in tags
        if t.get(Tag.PURPOSE) == Purpose.TUNING and t.get(Tag.STATUS) == Status.FINISHED
    }

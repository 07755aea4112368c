"""What of a plan is done: the plan joined with the store. Torch-free and MLflow-free, so that planning is fast."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.records.looks import LookRecord
from bench.core.records.runs import RunRecord
from bench.core.records.searches import SearchRecord
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.execution.estimate import Estimator
from bench.execution.race import Race, narrowed
from bench.planning.plan import Plan, PlannedRun
from bench.tracking import store
from bench.tracking.store import former_names, outcome

TAGS = (Tag.RUN_ID, Tag.PURPOSE, Tag.STATUS, Tag.TUNING_ID, Tag.BUDGET, Tag.CHOSEN)
METRICS = (Metric.TOTAL_SECONDS, Metric.NCM_TEST_ACCURACY, Metric.TEST_ACCURACY)
"""What of a store says what is done: little, and of neither trials nor the study run."""


@dataclass(frozen=True)
class State:
    """The runs of a plan by what became of them, and an estimator that has seen the finished ones.

    plan: with the hyperparameters that finished searches have chosen. `waiting` are runs whose search is not over, and
    `searches` these searches, each with one of the runs that wait for it. `deleted`: MLflow's id of the experiment,
    where it is deleted there: none of its runs counts. `unscored`: finished runs without the score of the unchanged
    network. race: of a study that adds seeds until it is decided; `plan` has the runs that are wanted now.
    """

    plan: Plan
    done: list[PlannedRun]
    missing: list[PlannedRun]
    waiting: list[PlannedRun]
    searches: list[PlannedRun]
    estimator: Estimator
    deleted: str | None = None
    unscored: list[PlannedRun] = field(default_factory=list)
    race: Race | None = None

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
        if budget.unit == "samples_seen" or each is None:
            return None
        return each * budget.amount * run.tuning.method.splits


def read(plan: Plan, uri: str) -> State:
    """Join by the runs' identity. Stored runs that the plan does not ask for are left alone; deleted ones do not count."""
    runs = store.read_runs(
        uri,
        plan.study.name,
        tags=(*TAGS, *former_names.TAGS),  # former names are asked for to be refused
        params=(),
        metrics=(*METRICS, *former_names.METRICS),
        tagged={Tag.PURPOSE: [Purpose.FINAL, Purpose.TUNING]},
    )
    over = outcome.searches(runs)
    chosen = {
        key: SearchRecord.of(over[key, budget]).chosen
        for key, run in plan.tunings.items()
        if run.tuning and (key, budget := str(run.tuning.budget)) in over
    }
    searches = {key: run for key, run in plan.tunings.items() if key not in chosen}
    plan, race = plan.with_choices(chosen), None
    if plan.study.race:
        plan, race = narrowed(plan, runs, _ledger(uri, plan.study.name))
    stored = {key: run for key, run in outcome.finals(runs).items() if run.has_result}
    estimator = Estimator()
    done = [run for run in plan.runs if run.run_id in stored]
    for run in done:
        seconds = stored[run.run_id].metrics.get(Metric.TOTAL_SECONDS)
        if seconds:
            estimator.learn(run.row(), seconds)
    missing = [run for run in plan.runs if run.run_id not in stored and not run.waiting]
    distinct = list({run.run_id: run for run in reversed(missing)}.values())[::-1]  # tuned may equal default
    waiting = [run for run in plan.runs if run.waiting]
    deleted = None if runs else store.deleted_experiment(uri, plan.study.name)
    unscored = [run for run in done if _lacks_score(stored[run.run_id])]
    return State(plan, done, distinct, waiting, list(searches.values()), estimator, deleted, unscored, race)


def _ledger(uri: str, study: str) -> list[LookRecord]:
    """The looks at the study's verdicts so far."""
    return outcome.looks(
        store.read_runs(uri, study, params=(), metrics=(), tagged={Tag.PURPOSE: [Purpose.STUDY]})
    )


def _lacks_score(run: RunRecord) -> bool:
    return run.status == Status.FINISHED and Metric.NCM_TEST_ACCURACY not in run.metrics

"""A search that is over, as its MLflow run holds it: what is logged of it, and how that is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.core.records.runs import RunRecord
from bench.core.schema import IMPORTANCE, Metric, Tag


@dataclass(frozen=True)
class SearchRecord:
    """The end of a search.

    Attributes:
        tuning_id: Its identity, without the budget.
        budget: As "12 trials".
        chosen: "part.hyperparameter" -> value; empty where no trial is complete.
        chosen_trial: The number of the trial that had them; None where no trial is complete.
        best: Validation accuracy of the chosen trial, a fraction.
        default: Validation accuracy of the trial with the default hyperparameters; None where it is not complete.
        smoothed: Smoothed validation accuracy of the chosen trial; None where the highest accuracy was chosen as it is.
        smoothed_default: That of the default hyperparameters; None where their trial is not complete.
        standard_error: Of the difference between them; of the best other trial's where the defaults were chosen.
        complete: How many trials within the budget are complete; `pruned` and `failed` likewise. None: not known.
        seconds: Training and preparation of these trials.
        importances: Share of each hyperparameter in the variance of validation accuracy.
        error: Why nothing was chosen, in words.
        mlflow_run_id: MLflow's id of the search's run; "" before it is stored.
    """

    tuning_id: str
    budget: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    chosen_trial: int | None = None
    best: float | None = None
    default: float | None = None
    smoothed: float | None = None
    smoothed_default: float | None = None
    standard_error: float | None = None
    complete: int | None = None
    pruned: int | None = None
    failed: int | None = None
    seconds: float = 0.0
    importances: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    mlflow_run_id: str = ""

    @property
    def trials(self) -> int | None:
        """How many trials the budget covers; more are stored if it was larger before. None: not known."""
        counts = [count for count in (self.complete, self.pruned, self.failed) if count is not None]
        return sum(counts) if len(counts) == 3 else None

    def metrics(self) -> dict[str, float]:
        """What is logged of it, but for the importances."""
        named = {
            Metric.TRIALS_COMPLETE: self.complete,
            Metric.TRIALS_PRUNED: self.pruned,
            Metric.TRIALS_FAILED: self.failed,
            Metric.TUNING_SECONDS: self.seconds,
            Metric.TUNED_VAL_ACCURACY: self.best,
            Metric.CHOSEN_TRIAL: self.chosen_trial,
            Metric.DEFAULT_VAL_ACCURACY: self.default,
            Metric.TUNED_VAL_SMOOTHED: self.smoothed,
            Metric.DEFAULT_VAL_SMOOTHED: self.smoothed_default,
            Metric.SMOOTHED_STANDARD_ERROR: self.standard_error,
        }
        return {key: value for key, value in named.items() if value is not None}

    def all_metrics(self) -> dict[str, float]:
        """All that is logged of it as metrics."""
        return self.metrics() | {f"{IMPORTANCE}{name}": share for name, share in self.importances.items()}

    def tags(self) -> dict[str, str]:
        """The tags that make it count, or say why it does not; the status is not among them."""
        if self.error:
            return {Tag.ERROR: self.error}
        return {Tag.BUDGET: self.budget, Tag.CHOSEN: json.dumps(dict(self.chosen))}

    @classmethod
    def of(cls, run: RunRecord) -> SearchRecord:
        """The record that a search's run holds, as far as its tags and metrics were read."""
        tags, metrics = run.tags, run.metrics

        def count(key: str) -> int | None:
            return int(metrics[key]) if key in metrics else None

        return cls(
            tags[Tag.TUNING_ID],
            tags.get(Tag.BUDGET, ""),
            json.loads(tags.get(Tag.CHOSEN, "{}")),
            count(Metric.CHOSEN_TRIAL),
            metrics.get(Metric.TUNED_VAL_ACCURACY),
            metrics.get(Metric.DEFAULT_VAL_ACCURACY),
            metrics.get(Metric.TUNED_VAL_SMOOTHED),
            metrics.get(Metric.DEFAULT_VAL_SMOOTHED),
            metrics.get(Metric.SMOOTHED_STANDARD_ERROR),
            count(Metric.TRIALS_COMPLETE),
            count(Metric.TRIALS_PRUNED),
            count(Metric.TRIALS_FAILED),
            metrics.get(Metric.TUNING_SECONDS, 0.0),
            {k.removeprefix(IMPORTANCE): v for k, v in metrics.items() if k.startswith(IMPORTANCE)},
            run.error,
            run.mlflow_run_id,
        )

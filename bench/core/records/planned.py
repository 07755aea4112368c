"""Where a planned run stands in the matrix: a row of a study's plan."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class PlannedRow:
    """A planned run without what it trains.

    Attributes:
        run_id: The identity of the run (`bench.core.spec.RunSpec.run_id`).
        similarity: "similar", "dissimilar", or "unmeasured" as long as it is to be measured.
        size: "small" or "large".
        cell: "similar-small", ...
        n_per_class: Labelled images per class.
        setting: Of its hyperparameters: "default" or "tuned".
        tuning_id: The identity of the search that chooses its hyperparameters.
    """

    run_id: str
    dataset: str
    similarity: str
    size: str
    cell: str
    n_per_class: int
    backbone: str
    strategy: str
    seed: int
    setting: str = "default"
    tuning_id: str | None = None

    def under(self, run_id: str) -> PlannedRow:
        """The same place in the matrix, of a run with another identity."""
        return replace(self, run_id=run_id)

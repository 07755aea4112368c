"""Where and how a study's runs are logged: plain data that travels to the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from bench.core.records.planned import PlannedRow

BOTH = "both"
"""Tag `setting` of a run whose default hyperparameters are also what the search chose."""


@dataclass(frozen=True)
class Tracking:
    uri: str
    experiment_id: str
    system_metrics: bool
    checkpoints: Literal["none", "best", "all"]
    optuna: str = ""  # storage of the searches
    study: str = ""  # its name, in that of its searches there


def run_name(row: PlannedRow) -> str:
    """What lists show of a planned run; the strategy first, for it is what they are read for."""
    tuned = " | tuned" if row.setting == "tuned" else ""
    return f"{search_name(row)} | seed {row.seed}{tuned}"


UNPLANNED = "unplanned"
"""Tag `setting` of a run that the study, changed since, does not ask for any more."""


def as_stored(rows: Iterable[PlannedRow]) -> list[PlannedRow]:
    """Rows of a plan, each run once: one that is asked for with default and with tuned hyperparameters has `BOTH`."""
    found: dict[str, PlannedRow] = {}
    for row in rows:
        known = found.setdefault(row.run_id, row)
        if known.setting != row.setting:
            found[row.run_id] = replace(row, setting=BOTH)
    return list(found.values())


def search_name(row: PlannedRow) -> str:
    """The same of a search for the hyperparameters of a strategy, which is one for several seeds."""
    return f"{row.strategy} | {row.dataset} n={row.n_per_class} | {row.backbone}"

"""Where and how a study's runs are logged: plain data that travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Tracking:
    uri: str
    experiment_id: str
    system_metrics: bool
    checkpoints: Literal["none", "best", "all"]
    optuna: str = ""  # storage of the searches


def run_name(row: dict[str, Any]) -> str:
    """What lists show of a planned run; the strategy first, for it is what they are read for."""
    tuned = " | tuned" if row["setting"] == "tuned" else ""
    return f"{search_name(row)} | seed {row['seed']}{tuned}"


def search_name(row: dict[str, Any]) -> str:
    """The same of a search for the knobs of a strategy, which is one for several seeds."""
    return f"{row['strategy']} | {row['dataset']} n={row['n_per_class']} | {row['backbone']}"

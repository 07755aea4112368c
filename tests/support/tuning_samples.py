"""A search that takes no training: a strategy with two hyperparameters, and trials that are told any value."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.planning import compose
from bench.planning.search_space import space
from bench.planning.searches import Budget, Method, Tuning
from bench.tuning.engine import Search

TRAIN = TrainSpec(epochs=2, batch_size=16, optimizer="adamw", precision="fp32", image_size=32)


def make_tuning(
    budget: Budget | None = None, method: Method | None = None, expression: str = "full + l2_sp"
) -> Tuning:
    strategy = compose.parse(expression, {})
    spec = RunSpec(DatasetSpec("any"), 10, BackboneSpec("test_resnet", "random"), strategy, 0, TRAIN)
    return Tuning(spec, space(strategy, ["*"], [], {}), budget or Budget("trials", 6), method or Method())


def open_search(tuning: Tuning, folder: Path, file: str = "optuna.journal") -> Search:
    return Search(
        tuning, str(folder / file) if "://" not in file else file, "search", {"cell": "similar-small"}
    )


def work(search: Search, value: Callable[[dict], float], seconds: float = 1.0, at_most: int = 100) -> int:
    """Ask and tell until the budget is used up, or `at_most` times. -> how many trials."""
    for done in range(at_most):
        trial = search.ask()
        if trial is None:
            return done
        search.tell(trial, "complete", value(trial.params), 1.0, seconds, 10 * seconds, 1000)
    return at_most


def peak(params: dict) -> float:
    """Highest at lr = .01."""
    return 1 - abs(math.log10(params["full.lr"]) + 2) / 10

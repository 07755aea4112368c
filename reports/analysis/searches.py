"""What the searches of a tuned study found, and what tuning was worth: from the stored runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.core.records.runs import RunRecord
from bench.core.records.searches import SearchRecord
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.tracking.store import outcome
from reports.analysis.rows import Row, condition_of
from reports.analysis.stats import Mean, mean_of
from reports.analysis.units import rounding_sd, units

DEFAULT, TUNED = "default", "tuned"


@dataclass(frozen=True)
class Trial:
    """One trial. value: validation accuracy, a fraction; None unless it is complete."""

    number: int
    status: str
    value: float | None


@dataclass(frozen=True)
class Search:
    """One search that is over. Accuracies are validation accuracies, fractions; seconds of all its trials.

    Attributes:
        smoothed: Of the chosen trial; None where the highest accuracy was chosen as it is, `smoothed_default` likewise.
        kept: Whether the defaults were chosen.
    """

    cell: str
    condition: tuple[str, int, str]  # dataset, images per class, backbone
    strategy: str
    chosen: Mapping[str, Any]
    default: float | None
    best: float
    seconds: float
    trials: tuple[Trial, ...]
    importances: Mapping[str, float]
    smoothed: float | None = None
    smoothed_default: float | None = None
    kept: bool = False

    def count(self, *statuses: str) -> int:
        return sum(trial.status in statuses for trial in self.trials)


def searches(rows: Sequence[Row], runs: Iterable[RunRecord], budget: str = "") -> list[Search]:
    """The finished searches that the study's tuned rows rest on, in the rows' order.

    budget: the study's, as in `Tag.BUDGET`. Of several searches under one identity the one with this budget counts.
    """
    everything = list(runs)
    wanted = {row["tuning_id"]: row for row in rows if row.get("tuning_id")}
    found_searches = outcome.searches(everything)
    parents = {key: run for (key, _), run in found_searches.items()}
    parents |= {key: run for (key, own), run in found_searches.items() if own == budget}
    trials: dict[str, list[RunRecord]] = defaultdict(list)
    for run in everything:
        if run.purpose == Purpose.TRIAL:
            trials[run.tags[Tag.PARENT]].append(run)
    found = ((row, SearchRecord.of(parents[key])) for key, row in wanted.items() if key in parents)
    return [
        _search(row, record, record.best, trials[record.mlflow_run_id])
        for row, record in found
        if record.best is not None
    ]


def _search(row: Row, record: SearchRecord, best: float, trials: Iterable[RunRecord]) -> Search:
    listed = [
        Trial(int(trial.tags[Tag.TRIAL]), trial.status, trial.metrics.get(Metric.VAL_ACCURACY))
        for trial in trials
        if trial.status != Status.KILLED  # tried again under another number
    ]
    return Search(
        row["cell"],
        condition_of(row),
        row["strategy"],
        record.chosen,
        record.default,
        best,
        record.seconds,
        tuple(sorted(listed, key=lambda trial: trial.number)[: record.trials]),
        record.importances,
        record.smoothed,
        record.smoothed_default,
        kept=record.chosen_trial == 0,
    )


def best_so_far(found: Sequence[Search]) -> list[float]:
    """Mean over searches of the best validation accuracy after each trial; a search that is over stays at its best."""
    longest = max((len(s.trials) for s in found), default=0)
    curves = [_running_best(s.trials, longest) for s in found]
    return [fmean(values) for values in zip(*curves, strict=True)]


def _running_best(trials: Sequence[Trial], length: int) -> list[float]:
    best, curve = 0.0, []
    for trial in trials:
        best = max(best, trial.value or 0.0)
        curve.append(best)
    return curve + [best] * (length - len(curve))


@dataclass(frozen=True)
class Gain:
    """A strategy in a cell: mean test accuracy with default and with tuned hyperparameters, and their paired difference."""

    cell: str
    strategy: str
    default: float
    tuned: float
    difference: Mean


def gains(rows: Iterable[Row]) -> list[Gain]:
    """By cell and strategy, where some seed has both settings throughout the cell; n is the number of such seeds.

    Per seed the differences are averaged over the cell's datasets, sizes and backbones.
    """
    cells: dict[tuple[str, str], dict[int, dict[Any, dict[str, float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    conditions: dict[str, set[Any]] = defaultdict(set)
    of_cell: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_cell[row["cell"]].append(row)
        condition = condition_of(row)
        conditions[row["cell"]].add(condition)
        accuracy = row[Metric.TEST_ACCURACY]
        if row["status"] == Status.FINISHED and accuracy is not None:
            found = cells[row["cell"], row["strategy"]][row["seed"]][condition]
            found[row["setting"]] = accuracy
    floors = {cell: rounding_sd(units(found), len(conditions[cell])) for cell, found in of_cell.items()}
    gained = (_gain(key, seeds, len(conditions[key[0]]), floors[key[0]]) for key, seeds in cells.items())
    return [gain for gain in gained if gain]


def _gain(
    key: tuple[str, str], seeds: dict[int, dict[Any, dict[str, float]]], conditions: int, floor: float
) -> Gain | None:
    means = []
    for by_condition in seeds.values():
        both = [found for found in by_condition.values() if {DEFAULT, TUNED} <= set(found)]
        if len(both) == conditions:
            means.append((fmean(f[DEFAULT] for f in both), fmean(f[TUNED] for f in both)))
    if not means:
        return None
    default, tuned = (fmean(values) for values in zip(*means, strict=True))
    differences = [b - a for a, b in means]
    same = not any(differences)  # where the search chose the defaults they are the same runs
    return Gain(*key, default, tuned, mean_of(differences, smallest_sd=0.0 if same else floor))

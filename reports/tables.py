"""The report's tables, as markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import isnan, nan
from statistics import fmean
from typing import Any

from bench.core.schema import CELLS, Metric, Status
from reports import stats, text
from reports.ranking import Ranked
from reports.records import Row
from reports.stats import Mean
from reports.text import NONE, code, escape, interval, percent, points, quantity, seconds, table
from reports.verdict import Cell
from reports.words import cell_title

NOT_DONE = [Status.FAILED, Status.DIVERGED, Status.KILLED, Status.RUNNING, Status.PRUNED, Status.MISSING]
MAX_LISTED = 50  # runs without a result that are listed one by one


def strategies(cells: Sequence[Cell]) -> str:
    """Every strategy by cell: mean ± SE (n); the best bold, the rule's pick marked."""
    labels = list(dict.fromkeys(s for cell in cells for s in cell.strategies))
    header = ["strategy", *(cell_title(cell.name) for cell in cells)]
    return table(header, [[code(label), *(_mean(cell, label) for cell in cells)] for label in labels])


MAX_CONDITIONS = 12  # columns that a page has room for


def conditions(rows: Sequence[Row]) -> str:
    """Every strategy at every size of every dataset: mean ± SE over seeds, the best bold.

    '' where that says no more than the table by cell, or there are several backbones, or too many columns.
    """
    found: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["status"] == Status.FINISHED and row[Metric.TEST_ACCURACY] is not None:
            found[row["dataset"], row["n_per_class"]][row["strategy"]].append(row[Metric.TEST_ACCURACY])
    several = len({row["backbone"] for row in rows}) > 1
    if several or not len({row["cell"] for row in rows}) < len(found) <= MAX_CONDITIONS:
        return ""
    means = {place: {s: stats.mean_of(values) for s, values in by.items()} for place, by in found.items()}
    best = {place: max(by, key=lambda s: by[s].mean) for place, by in means.items()}
    header = ["strategy", *(f"{escape(dataset)}, {n}" for dataset, n in means)]
    labels = dict.fromkeys(row["strategy"] for row in rows)
    lines = [
        [code(s), *(_of_condition(by.get(s), best[place] == s) for place, by in means.items())]
        for s in labels
    ]
    return table(header, lines)


def _of_condition(mean: Mean | None, best: bool) -> str:
    if mean is None:
        return NONE
    value = points(mean.mean) + ("" if isnan(mean.se) else f" ± {points(mean.se)}")
    return f"**{value}**" if best else value


def ranking(ranked: Sequence[Ranked], cells: Sequence[str]) -> str:
    """Every strategy against the baseline, best first; '' where there is nothing to rank."""
    if not ranked:
        return ""
    header = [
        "strategy",
        "accuracy",
        "minus baseline",
        "95 %",
        "p, Holm",
        *map(cell_title, cells),
        "time",
        "seeds",
    ]
    return table(header, [_ranked(found, cells) for found in ranked])


def _ranked(found: Ranked, cells: Sequence[str]) -> list[str]:
    mean = found.interval
    return [
        code(found.strategy),
        percent(found.accuracy),
        points(mean.mean, sign=True),
        NONE if isnan(mean.low) else interval(mean.low, mean.high, sign=True),
        NONE if isnan(found.p) else text.p_value(found.p),
        *(points(found.by_cell[cell], sign=True) if cell in found.by_cell else NONE for cell in cells),
        NONE if found.time is None else f"{found.time:.2f} ×",
        str(mean.n),
    ]


def _mean(cell: Cell, label: str) -> str:
    mean = cell.means.get(label, Mean(0, nan, nan, nan, nan))
    if not mean.n:
        return NONE
    se = "" if isnan(mean.se) else f" ± {points(mean.se)}"
    value = f"{points(mean.mean)}{se}"
    marked = f"**{value}**" if label == cell.best else value
    return f"{marked} ({mean.n}){' ◆' if label == cell.rule else ''}"


COSTS: list[tuple[str, str, Callable[[float | None], str]]] = [
    ("training", Metric.TRAIN_SECONDS, seconds),
    ("peak memory", Metric.PEAK_MEMORY, lambda value: quantity(value, "B", 1024)),
    ("energy", Metric.ENERGY, lambda value: quantity(value, "J")),
    ("trainable", Metric.PARAMS_TRAINABLE, quantity),
]


def costs(rows: Sequence[Row]) -> str:
    """Means over finished runs, per cell and strategy; energy where any run could read it."""
    shown = [
        cost for cost in COSTS if cost[1] != Metric.ENERGY or any(row.get(Metric.ENERGY) for row in rows)
    ]
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == Status.FINISHED:
            groups[row["cell"], row["strategy"]].append(row)
    place = {name: i for i, name in enumerate(CELLS)}  # what is not measured yet comes last
    order = sorted(groups.items(), key=lambda group: place.get(group[0][0], len(CELLS)))
    lines = [
        [
            cell_title(cell),
            code(strategy),
            *(show(mean_of(found, key)) for _, key, show in shown),
            str(len(found)),
        ]
        for (cell, strategy), found in order
    ]
    header = ["cell", "strategy", *(name for name, *_ in shown), "runs"]
    return table(header, lines, right_from=2) if lines else ""


def mean_of(rows: Sequence[Row], key: str) -> float | None:
    """Mean of a metric over the rows that have it; None if none has."""
    values = [row[key] for row in rows if row[key] is not None]
    return fmean(values) if values else None


def without_result(rows: Sequence[Row]) -> str:
    """Runs that are planned and not finished, with their errors; missing ones only counted by `progress`."""
    found = [row for row in rows if row["status"] in NOT_DONE and row["status"] != Status.MISSING]
    found.sort(key=lambda row: NOT_DONE.index(row["status"]))
    lines = [
        [
            row["status"],
            escape(row["dataset"]),
            str(row["n_per_class"]),
            escape(row["backbone"]),
            code(row["strategy"]),
            str(row["seed"]),
            escape(_short(row["error"] or NONE)),
        ]
        for row in found[:MAX_LISTED]
    ]
    header = ["status", "dataset", "n", "backbone", "strategy", "seed", "error"]
    return table(header, lines, right_from=9) if lines else ""


def _short(error: str, length: int = 160) -> str:
    """The last line of an error is its message."""
    line = error.strip().splitlines()[-1] if error.strip() else error
    return line if len(line) <= length else f"{line[: length - 1]}…"


def hyperparameters(strategies: Sequence[dict[str, Any]]) -> str:
    """What each strategy is made of."""
    lines = [
        [
            code(strategy["label"]),
            _part(strategy.get("freeze")),
            *(", ".join(map(_part, strategy.get(kind) or [])) or NONE for kind in ("lr", "regularize")),
        ]
        for strategy in strategies
    ]
    return table(["strategy", "freeze", "learning rates", "regularisation"], lines, right_from=4)


def _part(part: dict[str, Any] | None) -> str:
    """`full(lr=0.001)`"""
    if not part:
        return NONE
    values = ", ".join(f"{name}={value}" for name, value in (part.get("hyperparameters") or {}).items())
    return escape(f"{part['name']}({values})" if values else part["name"])

"""The report's tables, as markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import isnan, nan
from statistics import fmean
from typing import Any

from bench.schema import CELLS, Metric, Status
from reports import text
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
    ("trainable", Metric.PARAMS_TRAINABLE, quantity),
]


def costs(rows: Sequence[Row]) -> str:
    """Means over finished runs, per cell and strategy."""
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
            *(show(mean_of(found, key)) for _, key, show in COSTS),
            str(len(found)),
        ]
        for (cell, strategy), found in order
    ]
    header = ["cell", "strategy", *(name for name, *_ in COSTS), "runs"]
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


def knobs(strategies: Sequence[dict[str, Any]]) -> str:
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
    values = ", ".join(f"{name}={value}" for name, value in (part.get("knobs") or {}).items())
    return escape(f"{part['name']}({values})" if values else part["name"])

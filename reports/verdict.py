"""What a cell of the decision matrix says about the textbook rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from bench.core.schema import CELLS, Metric, Status
from reports.records import Row
from reports.stats import Comparison, Mean, compare, mean_of
from reports.text import plural
from reports.units import Units, accuracies, datasets, pairs, units


class Verdict(StrEnum):
    SUPPORTED = "supported"  # no alternative is better by the margin or more
    CONTRADICTED = "contradicted"  # some alternative is better, by more than the margin
    UNDECIDED = "undecided"  # the data fit both
    UNTESTED = "untested"  # the rule's pick is not in the study, or has no results yet


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix. Accuracies and differences are fractions.

    `rule_accuracy` and `best_accuracy` are over the units that both have; their difference is `regret`.
    `regret_low`, `regret_high` bound the regret against the *true* best, see `_regret`. nan: unknown.
    n_units: (dataset, seed) pairs with at least one result; measured: the datasets that have one.
    """

    name: str
    rule: str | None
    strategies: list[str]
    means: dict[str, Mean]
    comparisons: list[Comparison]  # each alternative minus the rule's pick
    verdict: Verdict
    why: str
    best: str | None
    rule_accuracy: float
    best_accuracy: float
    regret: float
    regret_low: float
    regret_high: float
    rule_seconds: float | None  # mean training time of a finished run
    best_seconds: float | None
    planned: int
    finished: int
    n_units: int
    measured: list[str]
    datasets: list[str]
    sizes: list[int]
    backbones: list[str]
    negative: list[Comparison]  # strategies minus scratch that are worse than scratch

    @property
    def replication(self) -> str:
        """What n counts, in words."""
        if len(self.measured) <= 1:
            return plural(self.n_units, "seed")
        seeds, rest = divmod(self.n_units, len(self.measured))
        return (
            f"{len(self.measured)} datasets × {plural(seeds, 'seed')}"
            if not rest
            else f"{self.n_units} units"
        )

    @property
    def open(self) -> int:
        """Runs without a result."""
        return self.planned - self.finished


def judge_study(document: dict[str, Any], rows: Sequence[Row]) -> list[Cell]:
    """The cells that the plan has, in the matrix' order."""
    matrix = document["matrix"]
    scratch = scratch_label(document)
    by_cell = {name: [row for row in rows if row["cell"] == name] for name in CELLS}
    return [
        judge_cell(name, found, matrix["rule"].get(name), matrix["margin"], scratch)
        for name, found in by_cell.items()
        if found
    ]


def judge_cell(
    name: str, rows: Sequence[Row], rule: str | None, margin: float, scratch: str | None = None
) -> Cell:
    """Compare every strategy of the cell with the rule's pick."""
    cell = units(rows)
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    others = [s for s in strategies if s != rule]
    comparisons = compare(cell, rule, others) if rule is not None and rule in strategies else []
    verdict, why = decide(rule, strategies, _n(cell, rule), comparisons, margin)
    best, best_accuracy, rule_accuracy = _best(cell, rule, strategies, comparisons)
    return Cell(
        name=name,
        rule=rule,
        strategies=strategies,
        means={s: mean_of(accuracies(cell, s)) for s in strategies},
        comparisons=comparisons,
        verdict=verdict,
        why=why,
        best=best,
        rule_accuracy=rule_accuracy,
        best_accuracy=best_accuracy,
        **_regret(best_accuracy - rule_accuracy, comparisons),
        rule_seconds=_seconds(rows, rule),
        best_seconds=_seconds(rows, best),
        planned=len(rows),
        finished=sum(row["status"] == Status.FINISHED for row in rows),
        n_units=len(cell),
        measured=datasets(cell),
        datasets=list(dict.fromkeys(row["dataset"] for row in rows)),
        sizes=sorted({row["n_per_class"] for row in rows}),
        backbones=list(dict.fromkeys(row["backbone"] for row in rows)),
        negative=worse_than(cell, scratch, strategies),
    )


def decide(
    rule: str | None, strategies: Sequence[str], n_rule: int, comparisons: Sequence[Comparison], margin: float
) -> tuple[Verdict, str]:
    """The verdict, and why where that is not plain from the intervals.

    Contradicted: some alternative is better by Holm's test, and its mean advantage is above the margin.
    Supported: every alternative's upper bound, each by itself, is below the margin; an alternative without an
    interval therefore prevents it. Each is wrong in at most 2.5 % of cells: see `reports.stats`.
    """
    if rule is None:
        return Verdict.UNTESTED, "the rule's pick is not in the study"
    if rule not in strategies:
        return Verdict.UNTESTED, "the rule's pick is not planned in this cell"
    if not comparisons:
        return Verdict.UNTESTED, "there is no alternative to the rule's pick"
    if not any(c.known for c in comparisons):
        if max(c.n for c in comparisons) >= 2:
            return (
                Verdict.UNTESTED,
                "no alternative has results on all datasets, sizes and backbones of the rule's pick yet",
            )
        whose = "the rule's pick" if n_rule < 2 else "every alternative"
        return Verdict.UNTESTED, f"{whose} has fewer than 2 results to compare"
    if any(c.beats(margin) for c in comparisons):
        return Verdict.CONTRADICTED, ""
    if all(c.own_high < margin for c in comparisons):
        return Verdict.SUPPORTED, ""
    return Verdict.UNDECIDED, ""


def _seconds(rows: Sequence[Row], strategy: str | None) -> float | None:
    finished = [row for row in rows if row["strategy"] == strategy and row["status"] == Status.FINISHED]
    found = [row[Metric.TRAIN_SECONDS] for row in finished if row[Metric.TRAIN_SECONDS] is not None]
    return fmean(found) if found else None


def _n(cell: Units, strategy: str | None) -> int:
    return len(accuracies(cell, strategy)) if strategy else 0


def _best(
    cell: Units, rule: str | None, strategies: Sequence[str], comparisons: Sequence[Comparison]
) -> tuple[str | None, float, float]:
    """The empirical best, its accuracy and the rule's, both over their common units.

    Against a rule, the best is the alternative with the largest mean paired difference, or the rule itself
    where none is positive. Without one, it is the best mean over the units of which all measured have a result.
    """
    compared = [c for c in comparisons if c.known]
    if rule is not None and compared:
        top = max(compared, key=lambda c: c.mean)
        best = top.strategy if top.mean > 0 else rule
        both = pairs(cell, best, rule).values()
        return best, fmean(own for own, _ in both), fmean(other for _, other in both)
    measured = [s for s in strategies if _n(cell, s)]
    shared = [accuracy for by in cell.values() for accuracy in by.values() if set(measured) <= set(accuracy)]
    if not measured or not shared:
        return None, math.nan, math.nan
    means = {s: fmean(found[s] for found in shared) for s in measured}
    best = max(measured, key=lambda s: means[s])
    return best, means[best], math.nan if rule is None else means.get(rule, math.nan)


def _regret(regret: float, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Accuracy lost by following the rule, with 95 % bounds on max(0, max_j delta_j), the true regret.

    Upper: the largest own_high_j. For it to be too low, the bound of the truly best alternative has to be too low:
    2.5 %. Lower: the largest low_j, and as low_j <= delta_j for all j at once, that too fails in 2.5 % at most. So
    supported means an upper bound below the margin, contradicted a lower bound above 0. An interval for the one
    that came out best alone would be neither: it is picked for its luck, and another may be better.
    """
    known = [c for c in comparisons if c.known]
    if not known:
        return {"regret": math.nan, "regret_low": math.nan, "regret_high": math.nan}
    low, high = max(c.low for c in known), max(c.own_high for c in known)
    # two seeds give intervals of thousands of points; accuracies are fractions
    return {"regret": regret, "regret_low": max(0.0, low), "regret_high": min(1.0, max(0.0, high))}


def scratch_label(document: dict[str, Any]) -> str | None:
    """The strategy that starts from random weights, if the study has one: negative transfer is told by it."""
    labels = [s["label"] for s in document["strategies"] if (s.get("freeze") or {}).get("name") == "scratch"]
    return "scratch" if "scratch" in labels else next(iter(labels), None)


def worse_than(cell: Units, scratch: str | None, strategies: Sequence[str]) -> list[Comparison]:
    """Strategies that are worse than scratch: simultaneous upper bound of (strategy - scratch) below 0."""
    if scratch is None or scratch not in strategies:
        return []
    others = [s for s in strategies if s != scratch]
    return sorted((c for c in compare(cell, scratch, others) if c.high < 0), key=lambda c: c.mean)

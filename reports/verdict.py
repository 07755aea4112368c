"""What a cell of the decision matrix says about the textbook rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from bench.schema import CELLS, Metric, Status
from reports.records import Row
from reports.stats import Blocks, Comparison, Mean, blocks, common, mean_of, simultaneous


class Verdict(StrEnum):
    SUPPORTED = "supported"  # no alternative is better by the margin or more
    CONTRADICTED = "contradicted"  # some alternative is better, by more than the margin
    UNDECIDED = "undecided"  # the data fit both
    UNTESTED = "untested"  # the rule's pick is not in the study, or has no results yet


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix. Accuracies and differences are fractions.

    `rule_accuracy` and `best_accuracy` are over the blocks that both have; their difference is `regret`.
    `regret_low`, `regret_high` bound the regret against the *true* best, see `_regret`. nan: unknown.
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
    n_blocks: int  # with at least one result
    datasets: list[str]
    sizes: list[int]
    negative: list[Comparison]  # strategies minus scratch that are worse than scratch

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
    cell = blocks(rows)
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    comparisons = simultaneous(cell, rule, [s for s in strategies if s != rule]) if rule in strategies else []
    verdict, why = decide(rule, strategies, _n(cell, rule), comparisons, margin)
    best, best_accuracy, rule_accuracy = _best(cell, rule, strategies, comparisons)
    return Cell(
        name=name,
        rule=rule,
        strategies=strategies,
        means={s: mean_of([found[s] for found in cell.values() if s in found]) for s in strategies},
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
        n_blocks=len(cell),
        datasets=list(dict.fromkeys(row["dataset"] for row in rows)),
        sizes=sorted({row["n_per_class"] for row in rows}),
        negative=worse_than(cell, scratch, strategies),
    )


def decide(
    rule: str | None, strategies: Sequence[str], n_rule: int, comparisons: Sequence[Comparison], margin: float
) -> tuple[Verdict, str]:
    """The verdict, and why where that is not plain from the intervals.

    Contradicted: some alternative's lower bound is above 0 and its mean advantage above the margin.
    Supported: every alternative's upper bound is below the margin; an alternative without an interval
    (fewer than 2 common blocks) therefore prevents it. The bounds hold together with 95 %, so under a true
    rule "contradicted" comes in at most 2.5 % of cells, although the best is picked by looking.
    """
    if rule is None:
        return Verdict.UNTESTED, "the rule's pick is not in the study"
    if rule not in strategies:
        return Verdict.UNTESTED, "the rule's pick is not planned in this cell"
    if not comparisons:
        return Verdict.UNTESTED, "there is no alternative to the rule's pick"
    if max(c.n for c in comparisons) < 2:
        whose = "the rule's pick" if n_rule < 2 else "every alternative"
        return Verdict.UNTESTED, f"{whose} has fewer than 2 results to compare"
    if any(c.low > 0 and c.mean > margin for c in comparisons):
        return Verdict.CONTRADICTED, ""
    if all(c.high < margin for c in comparisons):
        return Verdict.SUPPORTED, ""
    return Verdict.UNDECIDED, ""


def _seconds(rows: Sequence[Row], strategy: str | None) -> float | None:
    finished = [row for row in rows if row["strategy"] == strategy and row["status"] == Status.FINISHED]
    found = [row[Metric.TRAIN_SECONDS] for row in finished if row[Metric.TRAIN_SECONDS] is not None]
    return fmean(found) if found else None


def _n(cell: Blocks, strategy: str | None) -> int:
    return sum(strategy in found for found in cell.values())


def _best(
    cell: Blocks, rule: str | None, strategies: Sequence[str], comparisons: Sequence[Comparison]
) -> tuple[str | None, float, float]:
    """The empirical best, its accuracy and the rule's, both over their common blocks.

    Against a rule, the best is the alternative with the largest mean paired difference, or the rule itself
    where none is positive. Without one, it is the best mean over the blocks that all measured share.
    """
    compared = [c for c in comparisons if c.n >= 2]
    if rule is not None and compared:
        top = max(compared, key=lambda c: c.mean)
        best = top.strategy if top.mean > 0 else rule
        shared = common(cell, [rule, best])
        return best, fmean(found[best] for found in shared), fmean(found[rule] for found in shared)
    measured = [s for s in strategies if _n(cell, s)]
    shared = common(cell, measured)
    if not measured or not shared:
        return None, math.nan, math.nan
    means = {s: fmean(found[s] for found in shared) for s in measured}
    best = max(measured, key=lambda s: means[s])
    return best, means[best], means.get(rule, math.nan)


def _regret(regret: float, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Accuracy lost by following the rule, with bounds on max(0, max_j delta_j), the true regret.

    As low_j <= delta_j <= high_j for all j at once, the true regret lies between max(0, max low) and
    max(0, max high), whichever of the measured alternatives is truly the best. An interval for the one that
    came out best alone would not: it is picked for its luck, and another may be better.
    """
    known = [c for c in comparisons if c.n >= 2]
    if not known:
        return {"regret": math.nan, "regret_low": math.nan, "regret_high": math.nan}
    low, high = max(c.low for c in known), max(c.high for c in known)
    # two seeds give intervals of thousands of points; accuracies are fractions
    return {"regret": regret, "regret_low": max(0.0, low), "regret_high": min(1.0, max(0.0, high))}


def scratch_label(document: dict[str, Any]) -> str | None:
    """The strategy that starts from random weights, if the study has one: negative transfer is told by it."""
    labels = [s["label"] for s in document["strategies"] if (s.get("freeze") or {}).get("name") == "scratch"]
    return "scratch" if "scratch" in labels else next(iter(labels), None)


def worse_than(cell: Blocks, scratch: str | None, strategies: Sequence[str]) -> list[Comparison]:
    """Strategies that are worse than scratch: simultaneous upper bound of (strategy - scratch) below 0."""
    if scratch is None or scratch not in strategies:
        return []
    others = [s for s in strategies if s != scratch]
    return sorted((c for c in simultaneous(cell, scratch, others) if c.high < 0), key=lambda c: c.mean)

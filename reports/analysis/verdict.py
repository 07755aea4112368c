"""What a cell of the decision matrix says about the textbook rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from statistics import fmean

from bench.core.schema import Metric, Status
from reports.analysis.negative_transfer import worse_than
from reports.analysis.regret import regret_bounds
from reports.analysis.rows import Row, condition_of, known
from reports.analysis.stats import ALPHA, NONE_DROPPED, Comparison, Mean, compare, mean_of
from reports.analysis.units import Units, accuracies, datasets, pairs, units


class Verdict(StrEnum):
    SUPPORTED = "supported"  # no alternative is better by the margin or more
    CONTRADICTED = "contradicted"  # some alternative is better, by more than the margin
    UNDECIDED = "undecided"  # the data fit both
    PROVISIONAL = "provisional"  # runs are missing that the look is planned after: estimates, no verdict
    UNTESTED = "untested"  # the rule's pick is not in the study, or has no results yet


class Reason(Enum):
    """Why a cell is untested."""

    NO_PICK = auto()  # the study has no strategy for the rule
    NOT_PLANNED = auto()  # the rule's pick is not planned in this cell
    NO_ALTERNATIVE = auto()
    NOT_COVERED = auto()  # no alternative has results in every condition of the rule's pick
    FEW_OF_RULE = auto()  # the rule's pick has fewer than two results
    FEW_OF_ALTERNATIVES = auto()
    RULE_NOT_COVERED = auto()  # the rule's pick has no result under some condition


HOPELESS = (Reason.NO_PICK, Reason.NOT_PLANNED, Reason.NO_ALTERNATIVE)
"""Reasons that no further seed would change."""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix. Accuracies and differences are fractions.

    `rule_accuracy` and `best_accuracy` are over the units that both have; their difference is `regret`.
    `regret_low`, `regret_high` bound the regret against the *true* best, see `regret_bounds`. nan: unknown.
    n_units: (dataset, seed) pairs with at least one result; measured: the datasets that have one.
    """

    name: str
    rule: str | None
    strategies: list[str]
    means: dict[str, Mean]
    comparisons: list[Comparison]  # each alternative minus the rule's pick
    verdict: Verdict
    why: Reason | None  # where it is untested
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
    level: float = ALPHA  # one-sided, of its tests
    seeds: int = 0  # of the look it is judged at; 0: none was taken

    @property
    def open(self) -> int:
        """Runs without a result."""
        return self.planned - self.finished


def judge_cell(
    name: str,
    rows: Sequence[Row],
    rule: str | None,
    margin: float,
    scratch: str | None = None,
    level: float = ALPHA,
    dropped: Mapping[str, Comparison] = NONE_DROPPED,
    family: int = 0,
) -> Cell:
    """Compare every strategy of the cell with the rule's pick.

    Args:
        level: One-sided, of this look.
        dropped: What earlier looks found of alternatives that got no more seeds.
        family: How many alternatives corrections count, if more than there are.
    """
    cell = units(rows)
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    others = [s for s in strategies if s != rule]
    tested = rule is not None and rule in strategies
    comparisons = compare(cell, rule, others, level, dropped, family) if rule is not None and tested else []
    verdict, why = decide(rule, strategies, _n(cell, rule), comparisons, margin)
    if why is None and rule in strategies and _lacks_a_condition(rows, cell, rule):
        verdict, why = Verdict.UNTESTED, Reason.RULE_NOT_COVERED
    best, best_accuracy, rule_accuracy = _best(cell, rule, strategies, comparisons)
    low, high = regret_bounds(comparisons)
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
        regret=max((max(0.0, c.mean) for c in comparisons if c.known), default=math.nan),
        regret_low=low,
        regret_high=high,
        rule_seconds=_seconds(rows, rule),
        best_seconds=_seconds(rows, best),
        planned=len(rows),
        finished=sum(row["status"] == Status.FINISHED for row in rows),
        n_units=len(cell),
        measured=datasets(cell),
        datasets=list(dict.fromkeys(row["dataset"] for row in rows)),
        sizes=sorted({row["n_per_class"] for row in rows}),
        backbones=list(dict.fromkeys(row["backbone"] for row in rows)),
        negative=worse_than(cell, scratch, strategies, level),
        level=level,
    )


def decide(
    rule: str | None, strategies: Sequence[str], n_rule: int, comparisons: Sequence[Comparison], margin: float
) -> tuple[Verdict, Reason | None]:
    """The verdict, and why where the cell is untested.

    Contradicted: some alternative is better by Holm's test, and its mean advantage is above the margin.
    Supported: every alternative's upper bound, each by itself, is below the margin; an alternative without an
    interval therefore prevents it. Each is wrong in at most 2.5 % of cells: see `reports.analysis.stats`.
    """
    if rule is None:
        return Verdict.UNTESTED, Reason.NO_PICK
    if rule not in strategies:
        return Verdict.UNTESTED, Reason.NOT_PLANNED
    if not comparisons:
        return Verdict.UNTESTED, Reason.NO_ALTERNATIVE
    if not any(c.known for c in comparisons):
        if max(c.n for c in comparisons) >= 2:
            return Verdict.UNTESTED, Reason.NOT_COVERED
        return Verdict.UNTESTED, Reason.FEW_OF_RULE if n_rule < 2 else Reason.FEW_OF_ALTERNATIVES
    if any(c.beats(margin) for c in comparisons):
        return Verdict.CONTRADICTED, None
    if all(c.own_high < margin for c in comparisons):
        return Verdict.SUPPORTED, None
    return Verdict.UNDECIDED, None


def _lacks_a_condition(rows: Sequence[Row], cell: Units, rule: str) -> bool:
    """Whether the rule's pick is planned under a condition under which it has no result: it would be left out in silence."""
    planned = {condition_of(row) for row in rows if row["strategy"] == rule}
    measured = {
        (dataset, *condition)
        for (dataset, _), conditions in cell.items()
        for condition, found in conditions.items()
        if rule in found
    }
    return not planned <= measured


def _seconds(rows: Sequence[Row], strategy: str | None) -> float | None:
    finished = [row for row in rows if row["strategy"] == strategy and row["status"] == Status.FINISHED]
    found = known(finished, Metric.TRAIN_SECONDS)
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

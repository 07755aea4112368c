"""Tables of verdicts, comparisons and ranks, as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from reports.bootstrap import Resampled
from reports.power import seeds_to_settle
from reports.ranks import Ranks
from reports.text import NONE, code, interval, p_value, percent, points, table
from reports.verdict import Cell, Verdict
from reports.words import SYMBOL, cell_title


def verdicts(cells: Sequence[Cell], margin: float) -> str:
    """One line per cell."""
    header = ["cell", "verdict", "rule's pick", "best", "regret, points", "margins", "n", "more seeds"]
    return table(header, [_verdict_line(cell, margin) for cell in cells], right_from=5)


def _verdict_line(cell: Cell, margin: float) -> list[str]:
    bounds = interval(cell.regret_low, cell.regret_high)
    return [
        cell_title(cell.name),
        f"{SYMBOL[cell.verdict]} {cell.verdict}",
        _pick(cell.rule, cell.rule_accuracy),
        _pick(cell.best, cell.best_accuracy),
        NONE if isnan(cell.regret) else f"{points(cell.regret)} {bounds}",
        NONE if isnan(cell.regret) or not margin else f"{cell.regret / margin:.1f} ×",
        str(cell.n_units),
        _more(cell, margin),
    ]


def _more(cell: Cell, margin: float) -> str:
    """Seeds per dataset that an undecided cell lacks."""
    if cell.verdict != Verdict.UNDECIDED:
        return NONE
    more = seeds_to_settle(cell.comparisons, margin)
    return "?" if more is None else f"≈ {more}"


def _pick(label: str | None, accuracy: float) -> str:
    if label is None:
        return NONE
    return code(label) if isnan(accuracy) else f"{code(label)} {percent(accuracy)}"


def differences(cells: Sequence[Cell]) -> str:
    """Each alternative minus the rule's pick, the largest first."""
    lines = [
        [
            cell_title(cell.name),
            code(c.strategy),
            points(c.mean, sign=True),
            interval(c.own_low, c.own_high, sign=True) if c.known else NONE,
            interval(c.low, c.high, sign=True) if c.known else NONE,
            p_value(c.p) if c.known else NONE,
            str(c.n)
            if c.datasets == len(cell.measured)
            else f"{c.n} ({c.datasets} of {len(cell.measured)} datasets)",
        ]
        for cell in cells
        for c in sorted(cell.comparisons, key=lambda c: -c.mean if c.n else 1)
    ]
    header = ["cell", "alternative", "minus the rule's pick", "95 %", "simultaneous 95 %", "p, Holm", "n"]
    return table(header, lines, right_from=2) if lines else ""


def resampled(found: Sequence[Resampled]) -> str:
    """Bootstrap intervals beside Student's t over datasets; '' where there are none."""
    lines = [
        [
            cell_title(one.cell),
            code(one.strategy),
            points(one.mean, sign=True),
            interval(*one.bootstrap, sign=True),
            NONE if isnan(one.like.low) else interval(one.like.low, one.like.high, sign=True),
            f"{one.datasets} × {one.n / one.datasets:.3g}",
        ]
        for one in found
    ]
    header = [
        "cell",
        "alternative",
        "minus the rule's pick",
        "bootstrap",
        "datasets like these",
        "datasets × seeds",
    ]
    return table(header, lines, right_from=2) if lines else ""


def ranks(found: Ranks) -> str:
    """Every strategy with its mean rank, and which are within the critical difference of the best."""
    best = next(iter(found.ranks.values()))
    lines = [
        [code(name), f"{rank:.2f}", "no" if rank - best <= found.difference else "yes"]
        for name, rank in found.ranks.items()
    ]
    return table(["strategy", "mean rank", "told apart from the best"], lines)

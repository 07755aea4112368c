"""Ranking: all strategies in one order, each against the baseline, over everything that the study measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isnan

from reports.analysis.ranking import Ranked
from reports.analysis.study import Analysis
from reports.figures.ranking import ranking as figure
from reports.render.blocks import Block, Caption, Figure, Heading, Table
from reports.render.text import NONE, code, interval, p_value, percent, points
from reports.render.words import cell_title, selection


def section(study: Analysis) -> list[Block]:
    """Where the study has a baseline with results, and at least three strategies."""
    ranked = study.ranking
    if not ranked:
        return []
    return [
        Heading("Ranking"),
        Figure(
            "ranking",
            "All strategies minus the baseline",
            partial(figure, ranked, study.baseline, study.margin),
        ),
        ranking(ranked, [cell.name for cell in study.cells]),
        Caption(f"""
            Against the baseline {code(study.baseline)}: paired differences of test accuracy in percentage points,
            averaged over all datasets, sizes and backbones of the study, then over seeds; 95 % Student-t intervals over
            the seeds, each by itself, and p, two-sided, with Holm's correction over the strategies. They speak for these
            datasets only. Rank: the places that it may truly have, which hold for all strategies at once with 95 % (t
            intervals of all pairs, Bonferroni). The columns of the cells are mean differences. Time: training and
            preparation as a multiple of the baseline's. Grey band: the margin of ±{points(study.margin)} points. Seeds:
            those in which both have all results. {selection(study.document)}
        """),
    ]


def ranking(ranked: Sequence[Ranked], cells: Sequence[str]) -> Table:
    """Every strategy against the baseline, best first."""
    header = [
        "strategy",
        "accuracy",
        "minus baseline",
        "95 %",
        "p, Holm",
        "rank",
        *map(cell_title, cells),
        "time",
        "seeds",
    ]
    return Table(header, [_ranked(found, cells) for found in ranked])


def _ranked(found: Ranked, cells: Sequence[str]) -> list[str]:
    mean = found.interval
    return [
        code(found.strategy),
        percent(found.accuracy),
        points(mean.mean, sign=True),
        NONE if isnan(mean.low) else interval(mean.low, mean.high, sign=True),
        NONE if isnan(found.p) else p_value(found.p),
        _places(found.ranks),
        *(points(found.by_cell[cell], sign=True) if cell in found.by_cell else NONE for cell in cells),
        NONE if found.time is None else f"{found.time:.2f} ×",
        str(mean.n),
    ]


def _places(ranks: tuple[int, int]) -> str:
    best, worst = ranks
    return str(best) if best == worst else f"{best}–{worst}"

"""Accuracy over images per class."""

from __future__ import annotations

from functools import partial
from math import isnan

from reports.analysis.curves import by_size, panels
from reports.analysis.stats import Mean
from reports.analysis.study import Analysis
from reports.figures.curves import MANY, curves
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, escape, points, when
from reports.render.words import NO_RUN, selection

MAX_COLUMNS = 12
"""Datasets and sizes that a page has room for."""


def section(study: Analysis) -> list[Block]:
    return [Heading("Accuracy over images per class"), *_figure(study), *_table(study)]


def _figure(study: Analysis) -> list[Block]:
    found = panels([row for row in study.rows if row["strategy"] in study.shown])
    if not found:
        return [Paragraph(NO_RUN)]
    small_at_most = study.document.matrix.small_at_most
    return [
        Figure(
            "curves",
            "Test accuracy over images per class",
            partial(curves, found, study.shown, small_at_most),
            _caption(study),
        )
    ]


def _caption(study: Analysis) -> str:
    crowded = len(study.document.strategies) > MANY
    some = "Of many strategies these are the rule's picks, the baseline and the best of each cell."
    return f"""
        Mean test accuracy of the finished runs, with 95 % Student-t intervals of each mean (n: the finished runs of a
        point, one per seed; without an interval where there is one only; not paired, so they are wider than the
        differences above and not for comparing strategies). Dotted line: the border between small and large.
        {when(crowded, f"With more than {MANY} strategies, intervals are left out.")} {when(study.many, some)}
        {selection(study.document)}
    """


def _table(study: Analysis) -> list[Block]:
    """Where it says more than the table by cell does, for one backbone, and as far as the page has room."""
    means = by_size(study.rows)
    several = len({row["backbone"] for row in study.rows}) > 1
    if several or not len({row["cell"] for row in study.rows}) < len(means) <= MAX_COLUMNS:
        return []
    best = {size: max(by, key=lambda s: by[s].mean) for size, by in means.items()}
    header = ["strategy", *(f"{escape(dataset)}, {n}" for dataset, n in means)]
    lines = [
        [code(s), *(_mean(by.get(s), best[size] == s) for size, by in means.items())]
        for s in study.strategies
    ]
    return [
        Table(header, lines),
        Caption(f"""
            Mean test accuracy in percent ± standard error over seeds, by dataset and images per class. **Bold**: the best
            of a column. {selection(study.document)}
        """),
    ]


def _mean(mean: Mean | None, best: bool) -> str:
    if mean is None:
        return NONE
    value = points(mean.mean) + ("" if isnan(mean.se) else f" ± {points(mean.se)}")
    return f"**{value}**" if best else value

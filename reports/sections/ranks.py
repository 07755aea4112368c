"""Ranks over conditions: the field's test of many methods on many datasets."""

from __future__ import annotations

from functools import partial

from reports.analysis.ranks import FEWEST_CONDITIONS, FEWEST_STRATEGIES, Ranks, TooFew
from reports.analysis.study import Analysis
from reports.figures.ranks import MOST
from reports.figures.ranks import ranks as diagram
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import code, listed, p_phrase, plural, when
from reports.render.words import selection


def section(study: Analysis) -> list[Block]:
    """Where there is something to rank."""
    if len(study.strategies) < FEWEST_STRATEGIES or not study.any_result:
        return []
    found = study.ranks
    if isinstance(found, TooFew):
        return [Heading("Ranks over conditions"), Paragraph(too_few(found))]
    return [
        Heading("Ranks over conditions"),
        Figure("ranks", "Critical-difference diagram of mean ranks", partial(diagram, found, study.baseline)),
        mean_ranks(found),
        Caption(_caption(study, found)),
    ]


def _caption(study: Analysis, found: Ranks) -> str:
    differ = (
        "the ranks differ"
        if found.p <= 0.05
        else "no difference is shown, so no pair may be read as different"
    )
    without = f"Left out, for want of a condition: {listed([code(s) for s in found.left_out])}."
    return f"""
        Mean rank of each strategy (1: the highest accuracy) over {found.conditions} conditions (dataset, images per
        class, backbone); accuracies are means over the seeds that all strategies share, at least {found.seeds}.
        Friedman's test, Iman and Davenport's F = {found.statistic:.1f}, p {p_phrase(found.p)}: {differ}.
        Strategies joined by a bar do not differ significantly: they are at most {found.difference:.1f} ranks apart
        (Nemenyi's critical difference, 5 % for all pairs together).
        {when(len(found.ranks) > MOST, f"The diagram names the best {MOST}.")}
        {when(found.left_out, without)}
        Conditions of one dataset are related, so the test is optimistic about other datasets. Ranks say nothing of sizes
        of differences. {selection(study.document)}
    """


def too_few(found: TooFew) -> str:
    return f"""
        No rank test: it needs at least {FEWEST_CONDITIONS} conditions (dataset, images per class, backbone) in which at
        least {FEWEST_STRATEGIES} strategies have results on the same seeds; there are
        {plural(found.conditions, "condition")} and {found.strategies} strategies.
    """


def mean_ranks(found: Ranks) -> Table:
    """Every strategy with its mean rank, and which are within the critical difference of the best."""
    best = next(iter(found.ranks.values()))
    lines = [
        [code(name), f"{rank:.2f}", "no" if rank - best <= found.difference else "yes"]
        for name, rank in found.ranks.items()
    ]
    return Table(["strategy", "mean rank", "differs from the best"], lines)

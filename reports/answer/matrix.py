"""The decision matrix over datasets: what the rule loses on each, and what is better on average."""

from __future__ import annotations

from functools import partial
from math import isnan, nan

from reports.analysis.over_datasets import CellOver
from reports.analysis.stats import Mean, mean_of
from reports.answer.overview import Overview, by_network
from reports.figures.datasets import datasets as datasets_figure
from reports.figures.forest import forest
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, listed, percent, points, seconds
from reports.render.words import SYMBOL, cell_title, selection


def section(overview: Overview) -> list[Block]:
    return [
        Heading("The decision matrix over datasets"),
        Figure(
            "datasets",
            "What following the rule loses on each dataset, by cell of the matrix",
            partial(datasets_figure, overview.cells, overview.margin),
        ),
        _table(overview),
        Caption(f"""
            Each dataset is one observation. Lost: of each seed, the strategy that is best over the other seeds minus the
            rule's pick, on that seed; so nothing is picked on what judges it, and the mean over a dataset's seeds has no
            winner's curse; with its 95 % Student-t interval over datasets. More than the margin of
            {points(overview.margin)} points: the share of datasets, with the exact 95 % interval of the share. Verdict: of
            the same tests as in a report, with datasets in the place of seeds: **contradicted** if one other strategy is
            better on average over datasets like these (Holm, 2.5 % one-sided), and by more than the margin;
            **supported** if none is better by the margin. {selection(overview.document)}
        """),
        *_instead(overview),
        *_forests(overview),
    ]


def _table(overview: Overview) -> Table:
    header = ["cell", "network", "rule's pick", "verdict", "datasets", "lost, points", "more than the margin"]
    return Table(header, [_line(over) for over in overview.cells], right_from=4)


def _line(over: CellOver) -> list[str]:
    cell, above, lost = over.cell, over.above, mean_lost(over)
    bounds = "" if isnan(lost.low) else f" {interval(lost.low, lost.high)}"
    share = f"{above.k} of {above.n} [{percent(above.low, 0)}, {percent(above.high, 0)}]"
    return [
        cell_title(cell.name),
        code(over.backbone),
        code(cell.rule) if cell.rule else NONE,
        f"{SYMBOL[cell.verdict]} {cell.verdict}",
        str(cell.n_units),
        NONE if isnan(lost.mean) else f"{points(lost.mean)}{bounds}",
        share if above.n else NONE,
    ]


def mean_lost(over: CellOver) -> Mean:
    """Over the datasets whose loss is known."""
    values = [one.lost for one in over.regrets if not isnan(one.lost)]
    return mean_of(values) if values else Mean(0, nan, nan, nan, nan)


def _instead(overview: Overview) -> list[Block]:
    lines = [_choice(over) for over in overview.cells if over.ties]
    if not lines:
        return []
    header = ["cell", "network", "choose", "behind the best", "loses at most", "a run takes", "tied"]
    return [
        Heading("What to do instead", level=3),
        Table(header, lines, right_from=3),
        Caption(f"""
            Choose: the cheapest strategy that is as good as the best on average over datasets like these, within the
            margin of {points(overview.margin)} points; with "?" that is not shown, and it is the cheapest of those that
            cannot be told from the best. Behind the best: mean difference to the strategy with the best mean. Loses at
            most: bound on what the truly best has over it on average, 2.5 % one-sided, corrected for the choice. Tied: how
            many of the strategies are not shown to be worse than another.
        """),
    ]


def _choice(over: CellOver) -> list[str]:
    found = over.ties
    assert found is not None
    chosen = found.of(found.choice)
    tied = [code(s) for s in found.tied]
    return [
        cell_title(over.cell.name),
        code(over.backbone),
        f"{code(found.choice)}{'' if found.shown else ' ?'}",
        points(chosen.behind),
        points(chosen.loses_at_most),
        seconds(chosen.seconds),
        listed(tied) if len(tied) <= 2 else f"{len(tied)} of {len(found.standings)}",
    ]


def _forests(overview: Overview) -> list[Block]:
    """Each alternative minus the rule's pick, of every network."""
    found: list[Block] = []
    for place, (name, cells) in enumerate(by_network(overview.cells).items()):
        tested = [over.cell for over in cells if any(c.known for c in over.cell.comparisons)]
        if tested:
            found += [
                Figure(
                    f"alternatives{place or ''}",
                    f"Every alternative minus the rule's pick on {name}, over datasets",
                    partial(forest, tested, overview.margin),
                    f"""
                    On {code(name)}: every alternative minus the rule's pick, mean over datasets with 95 % intervals over
                    datasets, thick by itself, thin together with the others (Bonferroni). Grey band: the margin.
                    """,
                )
            ]
    if not found:
        return [Paragraph("No alternative can be compared with the rule's picks over datasets yet.")]
    return found

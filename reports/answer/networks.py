"""Where the networks disagree."""

from __future__ import annotations

from math import isnan

from reports.analysis.agreement import Agreement, agreements
from reports.analysis.stats import Mean
from reports.answer.overview import Overview, by_network
from reports.render.blocks import Block, Caption, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, listed, points
from reports.render.words import cell_title


def section(overview: Overview) -> list[Block]:
    """Where two networks share datasets."""
    found = agreements(overview.rows)
    if not found:
        return []
    header = ["picked on", "used on", "datasets", "correlation of the order", "lost, points"]
    return [
        Heading("Where the networks disagree"),
        Paragraph(_verdicts(overview)),
        Table(header, [_line(one) for one in found], right_from=2),
        Caption("""
            On the datasets and sizes that both networks have, each dataset one observation, with 95 % Student-t intervals
            over datasets. Correlation: Spearman's, of the strategies' mean accuracies on the one network and on the other;
            1 is the same order. Lost: on the second network, by the strategy that is best on the first against the one that
            is best on the second's other seeds.
        """),
    ]


def _line(one: Agreement) -> list[str]:
    mean = one.correlation
    bounds = "" if isnan(mean.low) else f" [{mean.low:.2f}, {min(1.0, mean.high):.2f}]"
    return [code(one.a), code(one.b), str(one.datasets), f"{mean.mean:.2f}{bounds}", _points(one.lost)]


def _points(mean: Mean) -> str:
    if isnan(mean.mean):
        return NONE
    return f"{points(mean.mean)}{'' if isnan(mean.low) else ' ' + interval(mean.low, mean.high)}"


def _verdicts(overview: Overview) -> str:
    """Cells in which the networks' verdicts differ."""
    by_cell: dict[str, dict[str, str]] = {}
    for name, cells in by_network(overview.cells).items():
        for over in cells:
            by_cell.setdefault(over.cell.name, {})[name] = str(over.cell.verdict)
    differing = [
        f"{cell_title(cell)} ({', '.join(f'{verdict} on {code(name)}' for name, verdict in by.items())})"
        for cell, by in by_cell.items()
        if len(set(by.values())) > 1
    ]
    if not differing:
        return "The verdicts over datasets are the same on every network."
    return f"The verdicts over datasets differ in {listed(differing)}."

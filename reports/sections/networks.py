"""Do the networks agree on the order of strategies?"""

from __future__ import annotations

from functools import partial
from math import isnan
from statistics import fmean

from reports.analysis.networks import Networks
from reports.analysis.stats import Mean
from reports.analysis.study import Analysis
from reports.figures.networks import by_network
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, points, when
from reports.render.words import selection


def section(study: Analysis) -> list[Block]:
    """Where the study has several networks, and enough results on them."""
    found = study.networks
    if found is None:
        return []
    return [
        Heading("Do the networks agree?"),
        Paragraph(answer(found)),
        Figure(
            "networks",
            "Every strategy minus the baseline, on each network",
            partial(by_network, found, study.margin),
        ),
        against(found),
        Caption(f"""
            Against the baseline {code(study.baseline)} on the same network: paired differences of test accuracy in
            percentage points, averaged over datasets and sizes, then over seeds, with 95 % Student-t intervals over
            seeds, each by itself. Grey band: the margin of ±{points(study.margin)} points. {selection(study.document)}
        """),
        agreement(found),
        Caption("""
            Spearman's correlation of the strategies' accuracies, one seed of a network against another seed of a
            network, mean over pairs of seeds, datasets and sizes. The diagonal, a network with itself, says how far
            seeds alone change the order.
        """),
        transferred(found),
        Caption(f"""
            Percentage points lost on the network of the column by the strategy that is best on the network of the line,
            against the one that is best on the column's own; both picked on the other seeds, so that picking adds no
            bias. 95 % Student-t intervals over seeds. One set of hyperparameters served all
            networks{when(study.tune, ", before tuning")}: a difference may be one of rates.
        """),
    ]


def answer(found: Networks) -> str:
    """How far networks agree with each other and with themselves, in two sentences."""
    own = [value for (a, b), value in found.agreement.items() if a == b]
    between = [value for (a, b), value in found.agreement.items() if a < b]
    best = [max(found.strategies, key=lambda s: by[s].interval.mean) for by in found.against.values()]
    shown = ", ".join(f"{code(s)} on {code(name)}" for s, name in zip(best, found.names, strict=True))
    return (
        f"The order of the strategies correlates {fmean(between):.2f} between networks (lowest pair {min(between):.2f}) and "
        f"{fmean(own):.2f} between seeds of one network (Spearman). Highest mean over all conditions: {shown}."
    )


def against(found: Networks) -> Table:
    """Each strategy minus the baseline on each network, with the interval over seeds."""
    lines = [
        [code(strategy), *(_difference(found, name, strategy) for name in found.names)]
        for strategy in found.strategies
    ]
    return Table(["strategy", *map(code, found.names)], lines)


def _difference(found: Networks, name: str, strategy: str) -> str:
    one = found.against[name][strategy].interval
    return f"{points(one.mean, sign=True)}{'' if strategy == found.baseline else _bounds(one)}"


def _bounds(mean: Mean) -> str:
    return "" if isnan(mean.low) else f" {interval(mean.low, mean.high)}"


def agreement(found: Networks) -> Table:
    """Correlations of the order, one seed against another."""
    lines = [[code(a), *(f"{found.agreement[a, b]:.2f}" for b in found.names)] for a in found.names]
    return Table(["agreement of", *map(code, found.names)], lines)


def transferred(found: Networks) -> Table:
    """What a network loses by the best strategy of another."""
    lines = [[code(a), *(_loss(found, a, b) for b in found.names)] for a in found.names]
    return Table(["picked on, used on", *map(code, found.names)], lines)


def _loss(found: Networks, a: str, b: str) -> str:
    one = found.transferred[a, b]
    return NONE if a == b else f"{points(one.mean)}{_bounds(one)}"

"""The section on whether networks agree, as markdown."""

from __future__ import annotations

from math import isnan
from statistics import fmean

from reports.networks import Networks
from reports.stats import Mean
from reports.text import NONE, code, interval, points, table


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


def against(found: Networks) -> str:
    """Each strategy minus the baseline on each network, with the interval over seeds."""
    lines = [
        [code(strategy), *(_difference(found, name, strategy) for name in found.names)]
        for strategy in found.strategies
    ]
    return table(["strategy", *map(code, found.names)], lines)


def _difference(found: Networks, name: str, strategy: str) -> str:
    one = found.against[name][strategy].interval
    return f"{points(one.mean, sign=True)}{'' if strategy == found.baseline else _bounds(one)}"


def _bounds(mean: Mean) -> str:
    return "" if isnan(mean.low) else f" {interval(mean.low, mean.high)}"


def agreement(found: Networks) -> str:
    """Correlations of the order, one seed against another."""
    lines = [[code(a), *(f"{found.agreement[a, b]:.2f}" for b in found.names)] for a in found.names]
    return table(["agreement of", *map(code, found.names)], lines)


def carried(found: Networks) -> str:
    """What a network loses by the best strategy of another."""
    lines = [[code(a), *(_loss(found, a, b) for b in found.names)] for a in found.names]
    return table(["best on, used on", *map(code, found.names)], lines)


def _loss(found: Networks, a: str, b: str) -> str:
    one = found.carried[a, b]
    return NONE if a == b else f"{points(one.mean)}{_bounds(one)}"

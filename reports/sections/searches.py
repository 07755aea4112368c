"""The searches: what each tried, chose and cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from bench.core.schema import CELLS, Status
from reports.analysis.searches import Search
from reports.analysis.study import Analysis
from reports.figures.tuning import history
from reports.render.blocks import Block, Caption, Figure, Heading, Table
from reports.render.text import NONE, code, escape, percent, seconds


def section(study: Analysis) -> list[Block]:
    """Where the study tunes."""
    if not study.tune:
        return []
    return [
        Heading("The searches", level=3),
        searches_table(study.searches),
        Caption("""
            Sums over a strategy's searches; the defaults were kept in so many of them. Validation accuracies are means,
            of the defaults and of the chosen trial: as measured they favour the chosen one, smoothed they are less a
            matter of luck. Hyperparameters: from the lowest to the highest value that a search chose.
        """),
        *_history(study),
        *_importances(study),
    ]


def _history(study: Analysis) -> list[Block]:
    if not any(search.cell in CELLS and len(search.trials) > 1 for search in study.searches):
        return []
    return [
        Figure(
            "history",
            "Best validation accuracy so far over trials",
            partial(history, study.searches, study.shown),
            """
            Best validation accuracy after each trial, mean over a strategy's searches in a cell. A curve that still rises
            at its end asks for a larger budget.
            """,
        )
    ]


def _importances(study: Analysis) -> list[Block]:
    shares = importances_table(study.searches)
    if not shares.rows:
        return []
    return [
        shares,
        Caption("""
            Share of each hyperparameter in the variance of validation accuracy (PED-ANOVA), mean over searches with at
            least ten complete trials.
        """),
    ]


def searches_table(searches: Sequence[Search]) -> Table:
    """By strategy: how much was searched, what it cost and what validation accuracy it gained."""
    by_strategy: dict[str, list[Search]] = defaultdict(list)
    for search in searches:
        by_strategy[search.strategy].append(search)
    header = [
        "strategy",
        "searches",
        "complete",
        "pruned",
        "failed",
        "time",
        "defaults kept",
        "val default",
        "val tuned",
        "smoothed",
        "hyperparameters chosen",
    ]
    return Table(header, [_line(name, found) for name, found in by_strategy.items()])


def _line(name: str, found: Sequence[Search]) -> list[str]:
    defaults = [s.default for s in found if s.default is not None]
    return [
        code(name),
        str(len(found)),
        str(sum(s.count(Status.FINISHED) for s in found)),
        str(sum(s.count(Status.PRUNED) for s in found)),
        str(sum(s.count(Status.FAILED, Status.DIVERGED) for s in found)),
        seconds(sum(s.seconds for s in found)),
        str(sum(s.kept for s in found)),
        percent(fmean(defaults)) if defaults else NONE,
        percent(fmean(s.best for s in found)),
        _smoothed(found),
        escape(
            "; ".join(
                _range(hyperparameter, [s.chosen[hyperparameter] for s in found])
                for hyperparameter in found[0].chosen
            )
        ),
    ]


def _smoothed(found: Sequence[Search]) -> str:
    """As "61.2 to 63.0": of the defaults and of the chosen trial."""
    both = [(s.smoothed_default, s.smoothed) for s in found if s.smoothed is not None]
    pairs = [(default, tuned) for default, tuned in both if default is not None and tuned is not None]
    if not pairs:
        return NONE
    default, tuned = (fmean(values) for values in zip(*pairs, strict=True))
    return f"{percent(default)} to {percent(tuned)}"


def _range(hyperparameter: str, values: Sequence[Any]) -> str:
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return f"{hyperparameter} {', '.join(dict.fromkeys(map(str, values)))}"
    low, high = min(values), max(values)
    return f"{hyperparameter} {low:.2g}" if low == high else f"{hyperparameter} {low:.2g} to {high:.2g}"


def importances_table(searches: Sequence[Search]) -> Table:
    """Mean share of each hyperparameter in the variance of validation accuracy."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for search in searches:
        for hyperparameter, share in search.importances.items():
            if len(search.importances) > 1:  # the only hyperparameter has it all
                shares[search.strategy, hyperparameter].append(share)
    lines = [[code(s), code(k), percent(fmean(v), 0), str(len(v))] for (s, k), v in shares.items()]
    return Table(["strategy", "hyperparameter", "share", "searches"], lines, right_from=2)

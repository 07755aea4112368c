"""The report's words and tables on tuning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bench.core.schema import Status
from reports.searches import Gain, Search
from reports.text import NONE, code, escape, interval, listed, percent, points, seconds, table
from reports.verdict import Cell, Verdict
from reports.words import SYMBOL, cell_title


def protocol(tune: dict[str, Any]) -> str:
    """The search in one sentence, as the study asks for it."""
    budget = next(f"{tune[unit]:g} {name}" for unit, name in BUDGETS.items() if tune.get(unit) is not None)
    splits = (
        f", each trial the mean over {tune['splits']} splits of the same images" if tune["splits"] > 1 else ""
    )
    pruner = f", pruner {tune['pruner']}" if tune["pruner"] != "none" else ""
    whose = "each seed's own" if tune["each_seed"] else "the first seed's"
    fit = "training and validation images together" if tune["refit"] else "the training images"
    return (
        f"every strategy got {budget} in every dataset, size and backbone (sampler {_sampler(tune)}{pruner}), the first "
        f"trial with its default hyperparameters; chosen by validation accuracy on {whose} labelled images{splits}; the "
        f"chosen setting was then trained anew for every seed, on {fit}, and its last checkpoint tested once"
    )


def _sampler(tune: dict[str, Any]) -> str:
    """Optuna's TPE begins as random search, which in a small search is all of it."""
    sampler: str = tune["sampler"]
    if sampler != "tpe":
        return sampler
    drawn = (tune.get("sampler_options") or {}).get("n_startup_trials", TPE_STARTUP)
    if tune.get("trials") and tune["trials"] <= drawn:
        return "tpe, which begins with random draws, here to the end"
    return f"tpe after {drawn} random draws"


TPE_STARTUP = 10
"""Optuna's default, its first trials."""

BUDGETS = {"trials": "trials", "seconds": "seconds of training", "samples_seen": "training images"}


def changes(default: Sequence[Cell], tuned: Sequence[Cell]) -> str:
    """What of the answer is due to tuning, in a sentence; "" where nothing was run with default hyperparameters."""
    before = {cell.name: cell for cell in default}
    changed = [
        f"{cell_title(cell.name)} from {_verdict(before[cell.name])} to {_verdict(cell)}"
        for cell in tuned
        if cell.name in before and before[cell.name].verdict != cell.verdict
    ]
    if not before or all(cell.verdict is Verdict.UNTESTED for cell in [*default, *tuned]):
        return ""
    if not changed:
        return "These are verdicts on tuned strategies; with default hyperparameters they would be the same."
    return (
        "These are verdicts on tuned strategies. Against the same strategies with default hyperparameters, tuning has "
        f"changed {listed(changed)}."
    )


def _verdict(cell: Cell) -> str:
    return cell.verdict if cell.regret != cell.regret else f"{cell.verdict} (regret {points(cell.regret)})"


def side_by_side(default: Sequence[Cell], tuned: Sequence[Cell]) -> str:
    """The rule's verdict at default hyperparameters and after tuning, one line per cell."""
    header = ["cell", "rule's pick", "default hyperparameters", "best", "regret", "tuned", "best", "regret"]
    before = {cell.name: cell for cell in default}
    lines = [
        [
            cell_title(cell.name),
            code(cell.rule) if cell.rule else NONE,
            *_half(before.get(cell.name)),
            *_half(cell),
        ]
        for cell in tuned
    ]
    return table(header, lines, right_from=8)


def _half(cell: Cell | None) -> list[str]:
    if cell is None:
        return [NONE] * 3
    best = f"{code(cell.best)} {percent(cell.best_accuracy)}" if cell.best else NONE
    regret = f"{points(cell.regret)} {interval(cell.regret_low, cell.regret_high)}"
    return [f"{SYMBOL[cell.verdict]} {cell.verdict}", best, NONE if cell.regret != cell.regret else regret]


def gains_table(gains: Sequence[Gain]) -> str:
    """Tuned minus default test accuracy by strategy and cell."""
    cells = list(dict.fromkeys(gain.cell for gain in gains))
    by_strategy: dict[str, dict[str, Gain]] = defaultdict(dict)
    for gain in gains:
        by_strategy[gain.strategy][gain.cell] = gain
    lines = [[code(name), *(_gain(found.get(cell)) for cell in cells)] for name, found in by_strategy.items()]
    return table(["strategy", *(cell_title(cell) for cell in cells)], lines)


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return NONE
    bounds = (
        f" {interval(gain.difference.low, gain.difference.high, sign=True)}" if gain.difference.n > 1 else ""
    )
    return f"{points(gain.difference.mean, sign=True)}{bounds}"


def searches_table(searches: Sequence[Search]) -> str:
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
        "val default",
        "val tuned",
        "hyperparameters chosen",
    ]
    return table(header, [_line(name, found) for name, found in by_strategy.items()])


def _line(name: str, found: Sequence[Search]) -> list[str]:
    defaults = [s.default for s in found if s.default is not None]
    return [
        code(name),
        str(len(found)),
        str(sum(s.count(Status.FINISHED) for s in found)),
        str(sum(s.count(Status.PRUNED) for s in found)),
        str(sum(s.count(Status.FAILED, Status.DIVERGED) for s in found)),
        seconds(sum(s.seconds for s in found)),
        percent(fmean(defaults)) if defaults else NONE,
        percent(fmean(s.best for s in found)),
        escape(
            "; ".join(
                _range(hyperparameter, [s.chosen[hyperparameter] for s in found])
                for hyperparameter in found[0].chosen
            )
        ),
    ]


def _range(hyperparameter: str, values: Sequence[Any]) -> str:
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return f"{hyperparameter} {', '.join(dict.fromkeys(map(str, values)))}"
    low, high = min(values), max(values)
    return f"{hyperparameter} {low:.2g}" if low == high else f"{hyperparameter} {low:.2g} to {high:.2g}"


def importances_table(searches: Sequence[Search]) -> str:
    """Mean share of each hyperparameter in the variance of validation accuracy; "" where no search could tell."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for search in searches:
        for hyperparameter, share in search.importances.items():
            if len(search.importances) > 1:  # the only hyperparameter has it all
                shares[search.strategy, hyperparameter].append(share)
    lines = [[code(s), code(k), percent(fmean(v), 0), str(len(v))] for (s, k), v in shares.items()]
    return table(["strategy", "hyperparameter", "share", "searches"], lines, right_from=2) if lines else ""

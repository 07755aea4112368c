"""Default hyperparameters and fair tuning: what the same search for every strategy changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from bench.core.records.study import TuneRecord
from bench.core.schema import CELLS
from reports.analysis.searches import Gain
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell, Verdict
from reports.figures.tuning import tuning as figure
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, listed, percent, points, when
from reports.render.words import SYMBOL, cell_title, selection


def section(study: Analysis) -> list[Block]:
    """Where the study tunes."""
    if not study.tune:
        return []
    return [
        Heading("Default hyperparameters and fair tuning"),
        Paragraph(f"The answer above is of tuned strategies: {protocol(study.tune)}."),
        *_verdicts(study, study.tune),
        *_gains(study),
    ]


def _verdicts(study: Analysis, tune: TuneRecord) -> list[Block]:
    if not study.before:
        return []
    shared = not tune.each_seed
    race = study.document.race
    seeds = (
        f", those with defaults of the first {race.looks[0]} seeds alone, and so tested once, at 2.5 %"
        if race
        else ", with the same seeds"
    )
    return [
        side_by_side(study.before, study.cells),
        Caption(f"""
            The rule's verdict with every strategy at the study's default hyperparameters, and after every strategy got
            the same search. Regret in percentage points with bounds as above. Both were trained on the same
            images{seeds}. One search serves all seeds{when(shared, " of a condition")}: the luck of the search is
            {when(shared, "not ")}part of the intervals.
        """),
    ]


def _gains(study: Analysis) -> list[Block]:
    shown = [gain for gain in study.gains if gain.strategy in study.shown]
    if not any(gain.cell in CELLS for gain in shown):
        return []
    return [
        Figure(
            "tuning",
            "Test accuracy with default and with tuned hyperparameters",
            partial(figure, shown, study.document.matrix.rule),
            f"""
            Mean test accuracy with default hyperparameters (hollow) and tuned (filled) over the seeds that have both;
            dotted: tuning lost test accuracy, as a choice by few validation images may. ◆: the rule's pick.
            {selection(study.document)}
            """,
        ),
        gains_table(study.gains),
        Caption("""
            Tuned minus default test accuracy, percentage points, with 95 % Student-t intervals over seeds, each by
            itself.
        """),
    ]


def protocol(tune: TuneRecord) -> str:
    """The search in one sentence, as the study asks for it."""
    budget = _budget(tune)
    splits = f", each trial the mean over {tune.splits} splits of the same images" if tune.splits > 1 else ""
    pruner = f", pruner {tune.pruner}" if tune.pruner != "none" else ""
    whose = "each seed's own" if tune.each_seed else "the first seed's"
    fit = "training and validation images together" if tune.refit else "the training images"
    return (
        f"every strategy got {budget} in every dataset, size and backbone (sampler {_sampler(tune)}{pruner}), the first "
        f"trial with its default hyperparameters; {_choice(tune)} on {whose} labelled images{splits}; the "
        f"chosen setting was then trained anew for every seed, on {fit}, and its last checkpoint tested once"
    )


def _choice(tune: TuneRecord) -> str:
    if tune.choice == "highest":
        return "chosen by validation accuracy"
    return (
        "chosen by smoothed validation accuracy, and the defaults kept unless another trial was better by half the "
        "standard error of the difference,"
    )


def _budget(tune: TuneRecord) -> str:
    units = {
        "trials": tune.trials,
        "seconds of training": tune.seconds,
        "training images": tune.samples_seen,
    }
    return next(f"{most:g} {name}" for name, most in units.items() if most is not None)


def _sampler(tune: TuneRecord) -> str:
    """Optuna's TPE begins as random search, which in a small search is all of it."""
    if tune.sampler == "design":
        return "design, steps around the defaults"
    if tune.sampler != "tpe":
        return tune.sampler
    drawn = tune.sampler_options.get("n_startup_trials", TPE_STARTUP)
    if tune.trials and tune.trials <= drawn:
        return "tpe, which begins with random draws, here to the end"
    return f"tpe after {drawn} random draws"


TPE_STARTUP = 10
"""Optuna's default, its first trials."""


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


def side_by_side(default: Sequence[Cell], tuned: Sequence[Cell]) -> Table:
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
    return Table(header, lines, right_from=8)


def _half(cell: Cell | None) -> list[str]:
    if cell is None:
        return [NONE] * 3
    best = f"{code(cell.best)} {percent(cell.best_accuracy)}" if cell.best else NONE
    regret = f"{points(cell.regret)} {interval(cell.regret_low, cell.regret_high)}"
    return [f"{SYMBOL[cell.verdict]} {cell.verdict}", best, NONE if cell.regret != cell.regret else regret]


def gains_table(gains: Sequence[Gain]) -> Table:
    """Tuned minus default test accuracy by strategy and cell."""
    cells = list(dict.fromkeys(gain.cell for gain in gains))
    by_strategy: dict[str, dict[str, Gain]] = defaultdict(dict)
    for gain in gains:
        by_strategy[gain.strategy][gain.cell] = gain
    lines = [[code(name), *(_gain(found.get(cell)) for cell in cells)] for name, found in by_strategy.items()]
    return Table(["strategy", *(cell_title(cell) for cell in cells)], lines)


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return NONE
    bounds = (
        f" {interval(gain.difference.low, gain.difference.high, sign=True)}" if gain.difference.n > 1 else ""
    )
    return f"{points(gain.difference.mean, sign=True)}{bounds}"

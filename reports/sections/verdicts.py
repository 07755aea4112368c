"""Verdicts: what each cell of the matrix says about the rule, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from reports.analysis.looks import Looks
from reports.analysis.power import Further
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell
from reports.render.blocks import Block, Caption, Heading, Table
from reports.render.text import NONE, code, interval, percent, points
from reports.render.words import SYMBOL, cell_title, levels, selection


def section(study: Analysis) -> list[Block]:
    return [Heading("Verdicts"), verdicts(study), Caption(_caption(study))]


def _caption(study: Analysis) -> str:
    return f"""
        Accuracies: mean test accuracy over the seeds that the rule's pick and the best share. Regret: its estimate and
        bounds, each at the cell's level; margins: the estimate as a multiple of the margin of {points(study.margin)}
        points. n: datasets × seeds with a result. The rule is **contradicted** if some alternative is better, by Holm's
        test over the alternatives of the cell at its level, and by more than the margin on average; **supported** if of
        every alternative the upper end of its own interval is below the margin (a claim on all of them needs no
        correction); else undecided. Level: {levels(study.cells)}. Paired Student-t tests over seeds. In simulated studies
        with known truth either verdict is wrong in at most 2.5 % of cells, all looks together (docs/statistics.md says
        how, and where not); over the cells of the matrix errors add up. The estimate of the regret is biased upward
        (winner's curse: the best is picked on the same data); its bounds are not. More seeds: additional seeds per dataset
        for 80 % power, if means and spread are as estimated; with a percentage, the error rate of verdicts once they are
        added to a study whose looks are used up; "?": none, or more than can be run. {selection(study.document)}
        {scope(study.cells)}
    """


def verdicts(study: Analysis) -> Table:
    """One line per cell."""
    header = ["cell", "verdict", "rule's pick", "best", "regret, points", "margins", "n", "more seeds"]
    return Table(header, [_verdict_line(study, looks) for looks in study.looks], right_from=5)


def _verdict_line(study: Analysis, looks: Looks) -> list[str]:
    cell, margin = looks.cell, study.margin
    bounds = interval(cell.regret_low, cell.regret_high)
    return [
        cell_title(cell.name),
        f"{SYMBOL[cell.verdict]} {cell.verdict}",
        _pick(cell.rule, cell.rule_accuracy),
        _pick(cell.best, cell.best_accuracy),
        NONE if isnan(cell.regret) else f"{points(cell.regret)} {bounds}",
        NONE if isnan(cell.regret) or not margin else f"{cell.regret / margin:.1f} ×",
        str(cell.n_units),
        _more(study.further(looks), cell.seeds),
    ]


def _more(found: Further | None, seen: int) -> str:
    """Seeds per dataset that an undecided cell lacks."""
    if found is None:
        return NONE
    if found.seeds is None:
        return "?"
    return (
        f"≈ {found.seeds - seen}"
        if found.planned
        else f"≈ {found.seeds - seen}, at {percent(found.error_rate)}"
    )


def _pick(label: str | None, accuracy: float) -> str:
    if label is None:
        return NONE
    return code(label) if isnan(accuracy) else f"{code(label)} {percent(accuracy)}"


def scope(cells: Sequence[Cell]) -> str:
    """What the intervals speak for, in up to three sentences."""
    tested = [cell for cell in cells if cell.n_units]
    single = [cell for cell in tested if len(cell.datasets) == 1]
    several = [cell for cell in tested if len(cell.datasets) > 1]
    sizes = [cell for cell in tested if len(cell.sizes) > 1 or len(cell.backbones) > 1]
    found = [
        (single, "With one dataset in a cell, n counts seeds and the interval speaks for that dataset only"),
        (
            several,
            "With several datasets in a cell, a seed's value is the mean over them; the interval speaks for the average "
            "over these datasets, not for others",
        ),
        (
            sizes,
            "Sizes and backbones of a dataset and seed share the split: they are averaged first, and count once",
        ),
    ]
    return " ".join(f"{text}{_where(which, tested)}." for which, text in found if which)


def _where(which: Sequence[Cell], tested: Sequence[Cell]) -> str:
    """Names of the cells, unless it is all of them."""
    return "" if len(which) == len(tested) else f" ({'; '.join(cell_title(cell.name) for cell in which)})"

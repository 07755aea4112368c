"""Looks: how a study that adds seeds until it is decided came to its verdicts, and the ledger of all looks."""

from __future__ import annotations

from functools import partial

from reports.analysis.levels import error_rate
from reports.analysis.looks import Look, Looks
from reports.analysis.saved import saved
from reports.analysis.stats import ALPHA
from reports.analysis.study import Analysis
from reports.figures.looks import looks as figure
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import NONE, code, interval, listed, percent, plural, points, seconds
from reports.render.words import SYMBOL, cell_title


def section(study: Analysis) -> list[Block]:
    """Where a study looks more than once, or has been looked at before with fewer seeds or another question."""
    if study.document.race is None and all(len(one.known) + len(one.fresh) < 2 for one in study.looks):
        return []
    raced = [one for one in study.looks if one.taken] if study.document.race else []
    return [
        Heading("Looks"),
        Paragraph(_rates(study)),
        *(_race(study, raced) if raced else []),
        *_ledger(study),
    ]


def _race(study: Analysis, raced: list[Looks]) -> list[Block]:
    return [
        Paragraph(_saved(study)),
        Figure(
            "looks",
            "Regret and its bounds after each look, per cell",
            partial(figure, raced, study.margin, study.looks_planned),
            _caption(study),
        ),
        Table(
            ["cell", "verdict", "no more seeds for", "seeds", "level", "regret, points"],
            [_line(one, look) for one in raced for look in one.taken],
            right_from=3,
        ),
    ]


def _rates(study: Analysis) -> str:
    """How often verdicts may be wrong, all looks together."""
    beyond = [one for one in study.looks if one.spent > ALPHA * (1 + 1e-6)]
    usual = (
        f"The levels of a cell's looks add up to at most {percent(ALPHA)}, so that either verdict is wrong in no more than "
        f"{percent(ALPHA)} of cells, however often the study was looked at."
    )
    if not beyond:
        return usual
    rates = [f"{cell_title(one.name)} {percent(error_rate(one.spent))}" for one in beyond]
    return (
        f"**Looked at beyond the plan.** These cells were judged again after their looks were used up, with more seeds or "
        f"another question, so that either verdict may be wrong in up to: {', '.join(rates)}, instead of {percent(ALPHA)}."
    )


def _saved(study: Analysis) -> str:
    assert study.document.race
    found = saved(study.rows, study.document.race.at_most)
    if not found.of_seconds:
        return ""
    text = (
        f"{plural(found.runs, 'run')} instead of the {found.of} of {study.document.race.at_most} seeds for every strategy: "
        f"{seconds(found.seconds)} of one worker instead of about {seconds(found.of_seconds)} "
        f"({100 * (1 - found.seconds / found.of_seconds):.0f} % less)."
    )
    open_ = [cell_title(one.name) for one in study.looks if study.to_come(one)]
    return f"{text} Still open: {listed(open_)}." if open_ else text


def _caption(study: Analysis) -> str:
    return f"""
        Regret of following the rule after each look: estimate and bounds at the level of that look (repeated confidence
        intervals). Early looks have small levels, so their intervals are wide: a look uses up little of the error rate
        until seeds are many. Grey band: the margin of {points(study.margin)} points. A cell is decided where the lower
        bound is above 0 and the estimate above the margin, or the upper bound below the margin.
    """


def _line(looks: Looks, look: Look) -> list[str]:
    cell = look.cell
    shown = ", ".join(code(name) for name in look.shown if looks.dropped_at.get(name) == look.seeds)
    return [
        cell_title(looks.name),
        f"{SYMBOL[cell.verdict]} {cell.verdict}",
        shown or NONE,
        str(look.seeds),
        f"{100 * look.record.level:.2g} %",
        f"{points(cell.regret)} {interval(cell.regret_low, cell.regret_high)}",
    ]


def _ledger(study: Analysis) -> list[Block]:
    """The looks in the store that are none of the plan as it is now."""
    lines = [
        [
            cell_title(one.name),
            f"{len(record.seeds)}",
            f"{100 * record.level:.2g} %",
            record.verdict,
            record.when.replace("T", " ").partition("+")[0] or "now",
        ]
        for one in study.looks
        for record in one.known
        if record not in [look.record for look in one.taken]
    ]
    if not lines:
        return []
    return [
        Table(["cell", "seeds", "level", "said", "when, UTC"], lines),
        Caption("""
            Earlier looks at the same data that the store's ledger holds: with other seeds, other alternatives, another
            pick of the rule or another margin. They have used up their levels.
        """),
    ]

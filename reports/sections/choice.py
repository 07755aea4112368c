"""The strategy to choose in each cell: the cheapest that is as good as the best, and what it saves."""

from __future__ import annotations

from reports.analysis.study import Analysis
from reports.analysis.ties import Standing, Ties
from reports.analysis.verdict import Cell, Verdict
from reports.render.blocks import Block, Caption, Heading, Table
from reports.render.text import NONE, code, listed, points, quantity, seconds, when
from reports.render.words import cell_title, levels

NAMED = 6
"""More tied strategies are counted, not named."""


def section(study: Analysis) -> list[Block]:
    if not study.ties:
        return []
    return [
        Heading("As good as the best"),
        Table(
            [
                "cell",
                "choose",
                "tied with the best",
                "behind the best",
                "loses at most",
                "saves time",
                "saves memory",
            ],
            [_line(found) for found in study.ties.values()],
            right_from=3,
        ),
        Caption(f"""
            Choose: the cheapest strategy that is shown to be as good as the best within the margin of
            {points(study.margin)} points; with "?" none is, and it is the cheapest that is not shown to be worse than any
            other and seems to be within the margin. Tied: strategies not shown to be worse than any other; the truly best
            is among them. Behind the best: mean difference in points to the strategy with the best mean. Loses at most:
            bound on what the truly best strategy, whichever it is, has over it; of the rule's pick the bound of the regret,
            of others corrected for the choice among them. Saves: of the time (training and preparation) and of the peak
            memory of the strategy with the best mean. Each statement is at the level of its cell ({levels(study.cells)}).
            {when(study.on_cpu, "On a CPU peak memory is the process', and says little of one strategy.")}
        """),
    ]


def _line(found: Ties) -> list[str]:
    chosen, best = found.of(found.choice), found.of(found.best)
    tied = found.tied
    named = ", ".join(map(code, tied)) if len(tied) <= NAMED else f"{len(tied)} of {len(found.standings)}"
    return [
        cell_title(found.cell),
        f"{code(found.choice)}{'' if found.shown else ' ?'}",
        named,
        points(chosen.behind),
        points(chosen.loses_at_most),
        NONE if chosen is best else _share(chosen.seconds, best.seconds),
        NONE if chosen is best else _share(chosen.memory, best.memory),
    ]


def _share(own: float | None, best: float | None) -> str:
    if own is None or not best:
        return NONE
    saved = round(100 * (1 - own / best))
    return f"{saved} %".replace("-", "−")


def choice(found: Ties, cell: Cell, margin: float) -> str:
    """Whom to choose in a cell, in a sentence or two."""
    chosen = found.of(found.choice)
    so_far = "So far" if cell.verdict == Verdict.PROVISIONAL else ""
    if found.shown:
        lost = f"at most {points(chosen.loses_at_most)} points behind the best"
        text = f"choose {code(found.choice)}: the cheapest that is as good as the best of {len(found.standings)} within "
        text += f"{points(margin)} points ({lost})"
    elif len(found.tied) == 1:
        text = f"choose {code(found.choice)}: every other strategy is shown to be worse than another"
    else:
        text = f"choose {code(found.choice)} until more is known: the cheapest of {len(found.tied)} strategies that cannot "
        text += f"be told from the best; it may lose up to {points(chosen.loses_at_most)} points"
    text = f"{so_far} {text}" if so_far else text[0].upper() + text[1:]
    return f"{text.strip()}{_saved(chosen, found.of(found.best))}."


def _saved(chosen: Standing, best: Standing) -> str:
    if chosen.strategy == best.strategy or not chosen.seconds or not best.seconds:
        return ""
    parts = [f"{seconds(chosen.seconds)} a run instead of {seconds(best.seconds)}"]
    if chosen.memory and best.memory and chosen.memory < 0.95 * best.memory:
        parts.append(f"{quantity(chosen.memory, 'B', 1024)} instead of {quantity(best.memory, 'B', 1024)}")
    return f"; {listed(parts)} with {code(best.strategy)}"

"""What tuning changes, over datasets."""

from __future__ import annotations

from reports.analysis.searches import Gain
from reports.answer.overview import Overview
from reports.render.blocks import Block, Caption, Heading, Paragraph
from reports.render.text import code, interval, listed, points
from reports.render.words import cell_title
from reports.sections.tuning import gains_table, protocol


def section(overview: Overview) -> list[Block]:
    """Where the study tunes, and has results with default hyperparameters on two datasets."""
    tune = overview.document.tune
    found = {name: [g for g in own if g.difference.n > 1] for name, own in overview.gains.items()}
    if tune is None or not any(found.values()):
        return []
    blocks: list[Block] = [Heading("What tuning changes"), Paragraph(f"Here, {protocol(tune)}.")]
    for name, own in found.items():
        if own:
            blocks += [
                Paragraph(_answer(name, own)),
                gains_table(own),
                Caption(f"""
                    On {code(name)}: tuned minus default test accuracy in points, mean over datasets, with 95 % Student-t
                    intervals over datasets, each by itself.
                """),
            ]
    return [*blocks, Paragraph(_verdicts(overview))]


def _answer(name: str, found: list[Gain]) -> str:
    worst, best = (pick(found, key=lambda g: g.difference.mean) for pick in (min, max))
    return f"On {code(name)} tuning gains most for {_gain(best)}, and least for {_gain(worst)}."


def _gain(gain: Gain) -> str:
    one = gain.difference
    return (
        f"{code(gain.strategy)} ({cell_title(gain.cell)}: {points(one.mean, sign=True)} points "
        f"{interval(one.low, one.high, sign=True)}, {one.n} datasets)"
    )


def _verdicts(overview: Overview) -> str:
    """Of the cells in which all that is tuned has been run with default hyperparameters, too."""
    both = [
        (over, before)
        for over in overview.cells
        if (before := overview.untuned.get((over.backbone, over.cell.name)))
    ]
    changed = [
        f"{cell_title(over.cell.name)} on {code(over.backbone)} from {before.cell.verdict} to {over.cell.verdict}"
        for over, before in both
        if before.cell.verdict != over.cell.verdict
    ]
    if not changed:
        named = listed([f"{cell_title(over.cell.name)} on {code(over.backbone)}" for over, _ in both])
        return f"With default hyperparameters the verdicts over datasets would be the same ({named})."
    return f"Tuning has changed the verdict over datasets in {listed(changed)}."

"""The title, and the answer in a few sentences."""

from __future__ import annotations

import math

from reports.analysis.dataset_intervals import by_dataset
from reports.analysis.stats import mean_of
from reports.answer.overview import Overview
from reports.render.blocks import Block, Heading, Items, Paragraph, Quote
from reports.render.text import code, escape, interval, listed, percent, plural, points
from reports.render.words import SYMBOL, cell_title


def section(overview: Overview) -> list[Block]:
    question = overview.document.question
    return [
        Heading("How to fine-tune an image classifier: what the evidence says", level=1),
        *([Quote(escape(question))] if question.strip() else []),
        Paragraph(_answer(overview)),
        Items([*_cells(overview)]),
    ]


def _answer(overview: Overview) -> str:
    lost = by_dataset([(one.dataset, one.lost) for one in overview.regrets if not math.isnan(one.lost)])
    above = sum(one > overview.margin for one in lost.values())
    mean = mean_of(list(lost.values()))
    runs = len(overview.rows)
    bounds = "" if math.isnan(mean.low) else f" (95 % over datasets: {interval(mean.low, mean.high)})"
    return (
        f"On {plural(len(overview.datasets), 'dataset')} and {plural(len(overview.networks), 'network')} "
        f"({runs} runs), following the textbook's decision matrix costs {points(mean.mean)} points of test accuracy{bounds} "
        f"against the strategy that is best on each dataset, and more than {points(overview.margin)} "
        f"point{'' if overview.margin == 0.01 else 's'} on {above} of {len(lost)} datasets."
    )


def _cells(overview: Overview) -> list[str]:
    lines = []
    for over in overview.cells:
        cell, above = over.cell, over.above
        if cell.rule is None or not above.n:
            continue
        verdict = (
            f"**{cell_title(cell.name)}** on {code(over.backbone)}: {SYMBOL[cell.verdict]} {cell.verdict}"
        )
        share = f"the rule's {code(cell.rule)} loses more than the margin on {above.k} of {above.n} datasets"
        better = [c.strategy for c in cell.comparisons if c.beats(overview.margin)]
        instead = f"; on average {listed([code(s) for s in better[:3]])} {'is' if len(better) == 1 else 'are'} better"
        lines.append(
            f"{verdict}. {share[0].upper()}{share[1:]} ({percent(above.low, 0)} to {percent(above.high, 0)} of datasets "
            f"like these){instead if better else ''}."
        )
    return lines

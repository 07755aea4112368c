"""Which measure of similarity predicts what transfer gains?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.core.records.study import StudyRecord
from bench.core.schema import MEASURES
from reports.analysis.study import Analysis
from reports.analysis.transferability import (
    LEAST,
    SIZE,
    Measured,
    Outcome,
    Prediction,
    conditions,
    measures_of,
    outcomes,
    predict,
)
from reports.figures.transferability import transferability
from reports.render.blocks import Block, Caption, Figure, Heading, Items, Paragraph, Table
from reports.render.text import NONE, code, escape, listed, plural, points, when
from reports.render.words import selection


def section(study: Analysis) -> list[Block]:
    """Where the document holds measures, or says why it has none."""
    found, without = conditions(study.document, study.rows), missing(study.document)
    if not found and not without:
        return []
    asked = outcomes(study.document)
    predictions = [predict(found, i) if found else [] for i in range(len(asked))]
    return [
        Heading("Which measure predicts?"),
        Paragraph(answer(found, asked, predictions) if found else "It cannot be told yet."),
        Paragraph(when(without, "Without measures:")),
        Items(without),
        *_correlations(study, found, asked, predictions),
        *_values(study, found, asked),
    ]


def _correlations(
    study: Analysis,
    found: Sequence[Measured],
    asked: Sequence[Outcome],
    predictions: Sequence[Sequence[Prediction]],
) -> list[Block]:
    shown = correlations(asked, predictions)
    if not shown.rows:
        return []
    several = len({c.backbone for c in found}) > 1
    scales = "Distances and scores of different backbones are on different scales."
    told = any(p.correlation is not None for found in predictions for p in found)
    alt = "Rank correlation of each measure with the gains of transfer"
    figure = Figure("transferability", alt, partial(transferability, asked, predictions))
    return [
        *([figure] if told else []),
        shown,
        Caption(f"""
            Spearman's rank correlation over conditions (dataset, images per class, backbone) between a measure taken
            before training and a paired difference of mean test accuracy; distances are negated, so positive means that
            nearer targets gain more. n: conditions. 95 % intervals: the hull of Fisher's z (Bonett and Wright) and a
            bootstrap, over datasets where at least four have results, else over conditions (then sizes of one dataset
            count as independent, and the interval is rather too narrow). **Bold**, and a diamond in the figure: the
            interval excludes zero, each by itself: of so many correlations some do by chance. The last line is what one
            knows without measuring. {when(several, scales)} {selection(study.document)}
        """),
    ]


def _values(study: Analysis, found: Sequence[Measured], asked: Sequence[Outcome]) -> list[Block]:
    if not found:
        return []
    return [
        values(found, asked),
        Caption(f"""
            The measures, from images of the training pool only (the first seed's labelled ones; Fréchet distances:
            without labels), and what came of it: differences of mean test accuracy in percentage points.
            docs/similarity.md says what each measure is and when to trust it. {selection(study.document)}
        """),
    ]


def missing(document: StudyRecord) -> list[str]:
    """A line per dataset and backbone without measures: why."""
    return [
        f"{code(entry.label)} on {code(backbone)}: {escape(known.missing)}"
        for entry in document.datasets
        for backbone, known in entry.measured.items()
        if known.missing
    ]


def title(measure: str) -> str:
    return "*images per class, no measure*" if measure == SIZE else MEASURES[measure]


def difference(outcome: Outcome) -> str:
    return f"{code(outcome.strategy)} minus {code(outcome.reference)}"


def answer(found: Sequence[Measured], asked: Sequence[Outcome], predictions: Sequence[Any]) -> str:
    """A sentence per outcome, or why it cannot be told."""
    if not asked:
        return "The study has no two of linear probe, full fine-tuning and scratch, so there is nothing to predict."
    if not any(predictions):
        most = max(sum(c.outcomes[i] is not None for c in found) for i in range(len(asked)))
        return (
            f"It cannot be told: {plural(most, 'condition')} (dataset, images per class, backbone) with results, "
            f"and a rank correlation of fewer than {LEAST} says nothing."
        )
    if not any(p.shown for found in predictions for p in found):
        return "Over these conditions, no measure is correlated significantly with what transfer gained."
    return " ".join(_sentence(o, p) for o, p in zip(asked, predictions, strict=True) if p)


def _sentence(outcome: Outcome, predictions: Sequence[Prediction]) -> str:
    shown = sorted((p for p in predictions if p.shown), key=lambda p: -abs(p.correlation or 0))
    named = [f"{title(p.measure)} ({p.correlation:.2f})".replace("-", "−") for p in shown]
    which = listed(named) if named else "no measure significantly"
    return f"{difference(outcome)} correlates with {which}."


def correlations(asked: Sequence[Outcome], predictions: Sequence[Sequence[Prediction]]) -> Table:
    """A line per measure, a column per outcome."""
    names = [
        name for name in [*MEASURES, SIZE] if any(p.measure == name for found in predictions for p in found)
    ]
    lines = []
    for name in names:
        own = [next((p for p in found if p.measure == name), None) for found in predictions]
        n = sorted({p.n for p in own if p})
        lines.append([title(name), *map(_cell, own), "–".join(map(str, dict.fromkeys([n[0], n[-1]])))])
    header = ["measure", *map(difference, asked), "n"]
    return Table(header, lines)


def _cell(found: Prediction | None) -> str:
    if found is None or found.correlation is None:
        return NONE
    text = f"{found.correlation:.2f} [{found.low:.2f}, {found.high:.2f}]".replace("-", "−")
    return f"**{text}**" if found.shown else text


def values(found: Sequence[Measured], asked: Sequence[Outcome]) -> Table:
    """What was measured, and what came of it: a line per condition."""
    names = measures_of(found)
    header = ["dataset", "backbone", "n", *(MEASURES[name] for name in names), *map(difference, asked)]
    lines = [
        [
            code(c.dataset),
            escape(c.backbone),
            str(c.n_per_class),
            *(f"{c.measures[name]:.3g}".replace("-", "−") if name in c.measures else NONE for name in names),
            *(points(value, sign=True) for value in c.outcomes),
        ]
        for c in found
    ]
    return Table(header, lines, right_from=2)

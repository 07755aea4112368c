"""The section "Which measure predicts?" as words and tables, in markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.schema import MEASURES
from reports.records import Row
from reports.text import NONE, code, escape, listed, plural, points, table
from reports.transferability import (
    LEAST,
    SIZE,
    Condition,
    Outcome,
    Prediction,
    conditions,
    measures_of,
    outcomes,
    predict,
)


@dataclass(frozen=True)
class Section:
    """What the template shows. `predictions` holds an item per outcome."""

    outcomes: list[Outcome]
    predictions: list[list[Prediction]]
    answer: str
    table: str
    values: str
    backbones: int
    missing: list[str]


def section(document: dict[str, Any], rows: Sequence[Row]) -> Section | None:
    """None where the document holds no measures, and does not say why either."""
    found, without = conditions(document, rows), missing(document)
    if not found and not without:
        return None
    asked = outcomes(document)
    predictions = [predict(found, i) if found else [] for i in range(len(asked))]
    return Section(
        asked,
        predictions,
        answer(found, asked, predictions) if found else "It cannot be told yet.",
        correlations(asked, predictions),
        values(found, asked) if found else "",
        len({c.backbone for c in found}),
        without,
    )


def missing(document: dict[str, Any]) -> list[str]:
    """A line per dataset and backbone without measures: why. Studies of old do not say."""
    return [
        f"{code(entry['label'])} on {code(backbone)}: {escape(known['missing'])}"
        for entry in document["datasets"]
        for backbone, known in (entry.get("measured") or {}).items()
        if known["missing"]
    ]


def title(measure: str) -> str:
    return "*images per class, no measure*" if measure == SIZE else MEASURES[measure]


def difference(outcome: Outcome) -> str:
    return f"{code(outcome.strategy)} minus {code(outcome.reference)}"


def answer(found: Sequence[Condition], asked: Sequence[Outcome], predictions: Sequence[Any]) -> str:
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
        return "As far as these conditions tell, none of the measures orders what transfer gained."
    return " ".join(_sentence(o, p) for o, p in zip(asked, predictions, strict=True) if p)


def _sentence(outcome: Outcome, predictions: Sequence[Prediction]) -> str:
    shown = sorted((p for p in predictions if p.shown), key=lambda p: -abs(p.correlation or 0))
    named = [f"{title(p.measure)} ({p.correlation:.2f})".replace("-", "−") for p in shown]
    which = listed(named) if named else "none of the measures, as far as these conditions tell"
    return f"{difference(outcome)} is ordered by {which}."


def correlations(asked: Sequence[Outcome], predictions: Sequence[Sequence[Prediction]]) -> str:
    """A line per measure, a column per outcome; '' where nothing can be told."""
    names = [
        name for name in [*MEASURES, SIZE] if any(p.measure == name for found in predictions for p in found)
    ]
    lines = []
    for name in names:
        own = [next((p for p in found if p.measure == name), None) for found in predictions]
        n = sorted({p.n for p in own if p})
        lines.append([title(name), *map(_cell, own), "–".join(map(str, dict.fromkeys([n[0], n[-1]])))])
    header = ["measure", *map(difference, asked), "n"]
    return table(header, lines) if lines else ""


def _cell(found: Prediction | None) -> str:
    if found is None or found.correlation is None:
        return NONE
    text = f"{found.correlation:.2f} [{found.low:.2f}, {found.high:.2f}]".replace("-", "−")
    return f"**{text}**" if found.shown else text


def values(found: Sequence[Condition], asked: Sequence[Outcome]) -> str:
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
    return table(header, lines, right_from=2)

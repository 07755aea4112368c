"""Protocol: what makes the comparison fair, and every setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bench.core.records.study import StudyRecord
from bench.core.spec import PartSpec, StrategySpec
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Caption, Heading, Items, Table
from reports.render.text import NONE, code, escape, when
from reports.render.words import selected
from reports.sections.tuning import protocol


def section(study: Analysis) -> list[Block]:
    document = study.document
    return [
        Heading("Protocol"),
        Items(_rules(study)),
        hyperparameters(document.strategies),
        Caption(f"""
            What the labels of the strategies stand for, with their {when(study.tune, "default ")}hyperparameters.
        """),
        Table(
            ["setting", "value"], [[escape(key), value] for key, value in settings(document)], right_from=2
        ),
    ]


def _rules(study: Analysis) -> list[str]:
    document, train = study.document, study.document.train
    share = f"{100 * train.val_share:g} % of the n images per class"
    if study.tune:
        chosen = [
            f"Search: {protocol(study.tune)}. {share} are for validation.",
            f"Reported number: {selected(document)}. The code that searches is not handed the test images.",
        ]
    else:
        picks = " and picks the epoch" if train.evaluate == "best" else ", and picks nothing"
        chosen = [
            f"{share} are set apart for validation and not trained on.",
            f"Reported number: {selected(document)}. Validation accuracy is logged{picks}.",
        ]
    return [
        """Strategies are compared on the same images, split and seed. Smaller subsets are part of larger ones. Sizes and
        backbones of a dataset and seed are averaged before anything is counted.""",
        *chosen,
        "Only runs of the plan count; trials of a search do not.",
        f"Seeds: {', '.join(map(str, document.seeds))}. Backbones: {_backbones(document)}.",
        "Strategies and training settings (the latter the same for all strategies):",
    ]


def _backbones(document: StudyRecord) -> str:
    return ", ".join(
        f"{code(backbone.label)} ({escape(backbone.name)}, {escape(backbone.weights)})"
        for backbone in document.backbones
    )


def hyperparameters(strategies: Sequence[StrategySpec]) -> Table:
    """What each strategy is made of."""
    lines = [
        [
            code(strategy.label),
            _part(strategy.freeze),
            *(", ".join(map(_part, parts)) or NONE for parts in (strategy.lr, strategy.regularize)),
        ]
        for strategy in strategies
    ]
    return Table(["strategy", "freeze", "learning rates", "regularisation"], lines, right_from=4)


def _part(part: PartSpec) -> str:
    """`full(lr=0.001)`"""
    values = ", ".join(f"{name}={value}" for name, value in part.hyperparameters.items())
    return escape(f"{part.name}({values})" if values else part.name)


def settings(document: StudyRecord) -> list[tuple[str, str]]:
    """The training settings and their values, precision as they were resolved on each backbone."""
    train = {key: code(value) for key, value in asdict(document.train).items() if key != "fit"}
    chosen = {b.label: b.precision for b in document.backbones if b.precision}
    if chosen:
        each = [f"{code(c.dtype)} on {code(label)} ({escape(c.why)})" for label, c in chosen.items()]
        train["precision"] = f"{code('auto')}: {'; '.join(each)}"
    return list(train.items())

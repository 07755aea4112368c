"""The answer: the decision matrix with its verdicts, as a figure and a sentence per cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from bench.core.records.study import StudyRecord
from reports.analysis.collapsed import collapsed
from reports.analysis.levels import TINY
from reports.analysis.looks import Looks
from reports.analysis.power import Further
from reports.analysis.stats import ALPHA
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell, Verdict
from reports.figures.matrix import matrix
from reports.render.blocks import Block, Figure, Heading, Items, Paragraph
from reports.render.text import code, escape, interval, listed, percent, plural, points, seconds, when
from reports.render.words import WHY, cell_title, replication, selection
from reports.sections.choice import choice
from reports.sections.collapsed import named
from reports.sections.tuning import changes


def section(study: Analysis) -> list[Block]:
    summary = ", ".join(f"{cell_title(cell.name)} {cell.verdict}" for cell in study.cells)
    return [
        Heading("Answer"),
        Paragraph(answer(study.cells)),
        Items([_item(study, looks) for looks in study.looks if study.any_result]),
        Paragraph(changes(study.before, study.cells)),
        Paragraph(named(collapsed(study.rows))),
        Figure(
            "matrix",
            f"Decision matrix: {escape(summary)}",
            partial(matrix, study.cells, study.document.matrix.small_at_most, study.before),
            _caption(study),
        ),
        Paragraph(_terms(study.document)),
    ]


def _caption(study: Analysis) -> str:
    untuned = when(
        study.before,
        "Untuned: the verdict on the same strategies with default hyperparameters, and its regret.",
    )
    return f"""
        Decision matrix. Rule: the strategy that the textbook picks; best: the highest mean test accuracy; both over the
        datasets and seeds that they share. Regret: accuracy lost by following the rule, in percentage points, with
        bounds on the true regret, whichever strategy is truly the best. {untuned}
        Margin: {points(study.margin)} points. {selection(study.document)}
    """


def _terms(document: StudyRecord) -> str:
    """What small and similar mean in this study."""
    datasets = [
        f"{code(dataset.label)} is {escape(dataset.similarity_text or dataset.similarity)}"
        for dataset in document.datasets
    ]
    return f"""
        In this study, **small** means at most {document.matrix.small_at_most} images per class, and similarity to
        what the backbone was trained on is declared by the study, or measured: {", ".join(datasets)}.
    """


def answer(cells: Sequence[Cell]) -> str:
    """One sentence over all cells."""
    if not any(cell.n_units for cell in cells):
        return "No run has finished yet, so there is no answer."
    counts = Counter(cell.verdict for cell in cells)
    parts = [f"{verdict} in {counts[verdict]}" for verdict in Verdict if counts[verdict]]
    return f"Of {plural(len(cells), 'cell')} of the decision matrix, the textbook rule is {listed(parts)}."


def _item(study: Analysis, looks: Looks) -> str:
    """A cell: whom to choose, then what became of the rule."""
    cell = looks.cell
    found = study.ties.get(cell.name)
    advice = choice(found, cell, study.margin) if found else ""
    return " ".join(filter(None, [f"**{cell_title(cell.name)}:**", advice, sentence(study, looks)]))


def sentence(study: Analysis, looks: Looks) -> str:
    """The cell's verdict on the rule, with its numbers."""
    cell = looks.cell
    says = {
        Verdict.SUPPORTED: _supported,
        Verdict.CONTRADICTED: _contradicted,
        Verdict.UNDECIDED: _undecided,
        Verdict.PROVISIONAL: _undecided,
        Verdict.UNTESTED: _untested,
    }[cell.verdict](cell, study.margin)
    head = f"The rule is **{cell.verdict}** ({_scope(cell)})."
    return " ".join(filter(None, [head, says, settle(study, looks), _time(cell), _open(cell)]))


def _untested(cell: Cell, margin: float) -> str:
    assert cell.why is not None
    why = WHY[cell.why]
    return f"{why[0].upper()}{why[1:]}."


def _scope(cell: Cell) -> str:
    sizes = listed([str(n) for n in cell.sizes])
    return f"{', '.join(map(escape, cell.datasets))}; {sizes} images per class; {replication(cell)}"


def _supported(cell: Cell, margin: float) -> str:
    head = f"The rule's {code(cell.rule)} reaches {percent(cell.rule_accuracy)}, and"
    if cell.regret_high == 0:
        return f"{head} every alternative is shown to be worse."
    lost = f"at most {points(cell.regret_high, 2)} points are lost by following it"
    return f"{head} no alternative is better by {points(margin)} points or more: {lost}."


def _contradicted(cell: Cell, margin: float) -> str:
    better = sorted((c for c in cell.comparisons if c.beats(margin)), key=lambda c: -c.mean)
    others = [code(c.strategy) for c in better if c.strategy != cell.best]
    named = listed(others) if len(others) <= 3 else f"{len(others)} more alternatives"
    also = f" {named} {'is' if len(others) == 1 else 'are'} better too." if others else ""
    return (
        f"{code(cell.best)} reaches {percent(cell.best_accuracy)}, the rule's {code(cell.rule)} only "
        f"{percent(cell.rule_accuracy)}: following the rule costs {points(cell.regret)} points, "
        f"{times(cell.regret, margin)} (true regret within {interval(cell.regret_low, cell.regret_high)}).{also}"
    )


def _undecided(cell: Cell, margin: float) -> str:
    unmeasured = [code(c.strategy) for c in cell.comparisons if not c.known]
    lacks = "fewer than 2 common seeds" if len(cell.measured) < 2 else "too few results on some dataset"
    missing = f" Not yet compared: {listed(unmeasured)} ({lacks})." if unmeasured else ""
    if cell.best == cell.rule and cell.regret_high < margin:
        return f"The rule's {code(cell.rule)} is not beaten by any alternative measured so far.{missing}"
    if cell.best == cell.rule:
        return (
            f"The rule's {code(cell.rule)} is the best measured ({percent(cell.rule_accuracy)}), but an "
            f"alternative may still be better, by up to {points(cell.regret_high)} points."
            f"{missing}"
        )
    return (
        f"{code(cell.best)} is ahead of the rule's {code(cell.rule)} by {points(cell.regret)} points "
        f"({percent(cell.best_accuracy)} against {percent(cell.rule_accuracy)}), but the true regret may be "
        f"anywhere within {interval(cell.regret_low, cell.regret_high)} points."
        f"{missing}"
    )


def settle(study: Analysis, looks: Looks) -> str:
    """How the cell could be settled, and how often verdicts would be wrong then."""
    if looks.due and looks.failed and not study.open_runs(looks):
        return _failed(looks)
    if looks.cell.verdict == Verdict.PROVISIONAL:
        seeds = plural(looks.due or study.looks_planned[-1], "seed")
        return f"No verdict yet: it comes with the look after {seeds}, once their runs are over."
    found = study.further(looks)
    if found is None:
        return ""
    if found.unknown:
        return "More seeds alone do not settle it: the alternatives that are not compared may be better by anything."
    if found.planned:
        return _by_next_looks(study.to_come(looks), found)
    number = None if found.seeds is None else found.seeds - looks.cell.seeds
    more = "More seeds than can be run" if number is None else f"About {plural(number, 'more seed')}"
    more += " would settle it, if means and spread stay as they look."
    if found.error_rate < ALPHA + TINY:
        return f"{more} The study's hours are used up, its error rate is not: with more hours it goes on as planned."
    return (
        f"{more} But this study's looks are used up: added to it, seeds may give a wrong verdict in up to "
        f"{percent(found.error_rate)} of such cells, instead of {percent(ALPHA)}. Only a study that plans its looks from "
        "the start (`seeds: {until: decided}`) keeps that rate."
    )


def _failed(looks: Looks) -> str:
    return (
        f"The look after {plural(looks.due or 0, 'seed')} waits for {plural(looks.failed, 'run')} that failed: repair them "
        "and run the study again, leave the strategy out, or do without them (`--without-failed`)."
    )


def _by_next_looks(to_come: Sequence[int], found: Further) -> str:
    ahead = f"The study goes on: it is looked at again after {listed([str(n) for n in to_come])} seeds"
    if found.seeds is None:
        return f"{ahead}; if means and spread stay as they look, that will not settle it."
    return f"{ahead}; {found.seeds} would settle it, if means and spread stay as they look."


def times(difference: float, margin: float) -> str:
    """A difference as a multiple of the margin of equivalence."""
    return f"{difference / margin:.1f} times the margin" if margin > 0 else "with no margin allowed"


def _time(cell: Cell) -> str:
    """What following the rule costs or saves in training time."""
    if cell.rule_seconds is None or cell.best_seconds is None or cell.best == cell.rule:
        return ""
    rule, best = seconds(cell.rule_seconds), seconds(cell.best_seconds)
    return f"Training took {rule} per run with {code(cell.rule)}, {best} with {code(cell.best)}."


def _open(cell: Cell) -> str:
    if not cell.open:
        return ""
    return f"Without a result: {cell.open} of {plural(cell.planned, 'planned run')}."

"""The answer in words, from the verdicts. Returns markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.core.schema import Metric, Status
from reports.power import seeds_to_settle
from reports.records import Row
from reports.stats import Comparison
from reports.text import code, escape, interval, listed, percent, plural, points, seconds
from reports.verdict import Cell, Verdict

SYMBOL = {
    Verdict.SUPPORTED: "✓",
    Verdict.CONTRADICTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.UNTESTED: "○",
}


def cell_title(name: str) -> str:
    """`similar-small` as people say it."""
    return name.replace("-", ", ")


def answer(cells: Sequence[Cell]) -> str:
    """One sentence over all cells."""
    if not any(cell.n_units for cell in cells):
        return "No run has finished yet, so there is no answer."
    counts = Counter(cell.verdict for cell in cells)
    parts = [f"{verdict} in {counts[verdict]}" for verdict in Verdict if counts[verdict]]
    return f"Of {plural(len(cells), 'cell')} of the decision matrix, the textbook rule is {listed(parts)}."


def sentence(cell: Cell, margin: float) -> str:
    """The cell's verdict with its numbers."""
    head = f"**{cell_title(cell.name)}: {cell.verdict}** ({_scope(cell)})."
    body = {
        Verdict.SUPPORTED: _supported,
        Verdict.CONTRADICTED: _contradicted,
        Verdict.UNDECIDED: _undecided,
        Verdict.UNTESTED: _untested,
    }[cell.verdict](cell, margin)
    return " ".join(filter(None, [head, body, _time(cell), _open(cell)]))


def _untested(cell: Cell, margin: float) -> str:
    return f"{cell.why[0].upper()}{cell.why[1:]}."


def _scope(cell: Cell) -> str:
    sizes = listed([str(n) for n in cell.sizes])
    return f"{', '.join(map(escape, cell.datasets))}; {sizes} images per class; {cell.replication}"


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
            f"{missing}{_settle(cell, margin)}"
        )
    return (
        f"{code(cell.best)} is ahead of the rule's {code(cell.rule)} by {points(cell.regret)} points "
        f"({percent(cell.best_accuracy)} against {percent(cell.rule_accuracy)}), but the true regret may be "
        f"anywhere within {interval(cell.regret_low, cell.regret_high)} points."
        f"{missing}{_settle(cell, margin)}"
    )


def _settle(cell: Cell, margin: float) -> str:
    more = seeds_to_settle(cell.comparisons, margin)
    if more is None:
        return ""
    each = " per dataset" if len(cell.measured) > 1 else ""
    return f" About {plural(more, 'more seed')}{each} would settle it, if means and spread stay as they look."


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


def progress(rows: Sequence[Row]) -> str:
    """How much of the plan is in; '' when all of it is."""
    counts = Counter(row["status"] for row in rows)
    done = counts.pop(Status.FINISHED, 0)
    if done == len(rows):
        return ""
    rest = listed([f"{n} {status}" for status, n in counts.most_common()])
    note = f"**{done} of {len(rows)} planned runs have finished** ({rest})."
    if done and (counts[Status.MISSING] or counts[Status.RUNNING] or counts[Status.KILLED]):
        note += (
            " The study is unfinished and its verdicts are provisional: "
            "looking repeatedly and stopping when one likes what one sees makes every interval too narrow."
        )
    return note


def micro_batched(rows: Sequence[Row]) -> str:
    """Which runs did not fit into a device's memory as their study asks; '' where all did."""
    at_once = [int(row[Metric.MICRO_BATCH]) for row in rows if row[Metric.MICRO_BATCH]]
    if not at_once:
        return ""
    images = " to ".join(str(n) for n in sorted({min(at_once), max(at_once)}))
    return (
        f"**{plural(len(at_once), 'run')} did not fit into the device's memory**: their batches went through the network "
        f"in parts, {images} images at a time (`{Metric.MICRO_BATCH}`). Losses and gradients are those of whole batches, "
        "but BatchNorm layers that train normalised each part by itself, and the seconds hold a second forward pass."
    )


def caption_scope(cells: Sequence[Cell]) -> str:
    """What the intervals speak for, in up to three sentences."""
    tested = [cell for cell in cells if cell.n_units]
    single = [cell for cell in tested if len(cell.datasets) == 1]
    several = [cell for cell in tested if len(cell.datasets) > 1]
    sizes = [cell for cell in tested if len(cell.sizes) > 1 or len(cell.backbones) > 1]
    found = [
        (single, "With one dataset in a cell, n counts seeds and the interval speaks for that dataset only"),
        (
            several,
            "With several datasets in a cell, n counts pairs of dataset and seed; the interval speaks for the average "
            "over these datasets, not for others, and counts differences between them as noise",
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


def selection(document: dict[str, Any]) -> str:
    """How the number that is reported was chosen, for captions."""
    best = document["train"].get("evaluate") == "best"
    checkpoint = "the epoch with the highest validation accuracy" if best else "the last checkpoint"
    hyperparameters = (
        "hyperparameters tuned on validation images"
        if document.get("tune")
        else "hyperparameters fixed beforehand"
    )
    return f"{hyperparameters}, {checkpoint}, test set evaluated once"


def settings(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The training settings and their values, precision as they were resolved on each backbone."""
    train = {key: code(value) for key, value in document["train"].items() if key != "fit"}
    chosen = {b["label"]: b["precision"] for b in document["backbones"] if b.get("precision")}
    if chosen:
        each = [f"{code(c['dtype'])} on {code(label)} ({escape(c['why'])})" for label, c in chosen.items()]
        train["precision"] = f"{code('auto')}: {'; '.join(each)}"
    return list(train.items())


def negative_line(cell: Cell, found: Comparison) -> str:
    below = f"{points(-found.mean)} {interval(-found.high, -found.low)} points below {code(found.reference)}"
    return f"{cell_title(cell.name)}: {code(found.strategy)} is {below}, n = {found.n}"

"""Test images: what other images would change, which classes are hard, and how far confidences can be trusted.

Shown where runs keep their predictions. Only those of the rule's picks and of a few alternatives are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from bench.core.records.study import StudyRecord
from reports.analysis.calibration import BINS
from reports.analysis.confusions import HARDEST, HardClass
from reports.analysis.predictions import keeping
from reports.analysis.study import Analysis
from reports.analysis.test_images import ALTERNATIVES, MOST, Calibration, Difference, TestImages, look
from reports.render.blocks import Block, Caption, Heading, Paragraph, Table
from reports.render.text import NONE, code, escape, interval, p_value, percent, plural, points, when
from reports.render.words import cell_title, selection


def section(study: Analysis) -> list[Block]:
    if not keeping(study.study):
        return []
    found = look(study.study, study.rows, study.cells)
    if not found.differences and not found.unreadable:
        return []
    classes = {dataset.label: dataset.classes for dataset in study.document.datasets}
    rules = {cell.name: (cell.rule, cell.best) for cell in study.cells}
    return [
        Heading("Test images"),
        Paragraph("""
            The verdicts speak for the test images that there are: all strategies and seeds are judged on the same ones.
            How far would the differences move if these had been drawn anew, too?
        """),
        differences(found.differences),
        Caption(_caption(found, study.document)),
        *_unreadable(found.unreadable),
        Paragraph(
            f"The {HARDEST} hardest classes of each dataset, and what the best strategy takes them for:"
        ),
        hard_classes(found.classes, classes, rules),
        Caption(f"""
            Accuracy on the test images of a class, over the runs of the cell: of the rule's pick, and of the strategy
            with the highest mean. Hardest: the lowest mean of both. Taken for: the wrong class that the best strategy
            names most often, with the share of the class's images. {selection(study.document)}
        """),
        Paragraph("Confidence against accuracy, as it is and recalibrated afterwards:"),
        calibration(found.calibration),
        Caption(f"""
            ECE: mean distance of confidence from accuracy in {BINS} bins of confidence, over test images; means over the
            runs. Recalibrated: after a map of the confidence (slope and offset of its log-odds) that was fitted on the
            other half of the test images; the predicted classes stay. It tells what recalibration on as many labelled
            images would leave. {selection(study.document)}
        """),
    ]


def _caption(found: TestImages, document: StudyRecord) -> str:
    left_out = f"""
        Left out: {plural(found.left_out, "comparison")}, as at most {MOST} files of predictions are read for a report.
    """
    single = """
        One seed, one condition: p is McNemar's (exact, mid-p) of two single networks, and says nothing of other seeds.
    """
    return f"""
        Test accuracy, alternative minus the rule's pick, in percentage points, over the runs whose predictions are kept:
        of each cell the {ALTERNATIVES} alternatives with the largest difference. n: seeds × test images. Each interval
        is 95 %, by itself. Seeds: Student's t over seeds, for these test images. Seeds and test images: both drawn at
        random, two-way random effects with Satterthwaite's degrees of freedom, never narrower. Where only the second one
        holds 0, the difference may belong to these test images. {when(any(d.single for d in found.differences), single)}
        {when(found.left_out, left_out)} {selection(document)}
    """


def _unreadable(wrong: Sequence[str]) -> list[Block]:
    if not wrong:
        return []
    more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return [Paragraph(f"Not counted here, as predictions could not be read: {escape(wrong[0])}{more}.")]


def differences(found: Sequence[Difference]) -> Table:
    """Both intervals side by side."""
    single = any(one.single for one in found)
    lines = [
        [
            cell_title(one.cell),
            code(one.strategy),
            points(one.found.mean, sign=True),
            _interval(one.found.over_seeds),
            _interval(one.found.over_both),
            f"{one.found.seeds} × {one.found.images}",
            *([p_value(one.single.p) if one.single else NONE] if single else []),
        ]
        for one in found
    ]
    header = ["cell", "alternative", "minus the rule's pick", "seeds", "seeds and test images", "n"]
    return Table([*header, *(["p, McNemar"] if single else [])], lines, right_from=2)


def _interval(bounds: tuple[float, float]) -> str:
    return NONE if isnan(bounds[0]) else interval(*bounds, sign=True)


def hard_classes(
    found: Sequence[HardClass],
    names: Mapping[str, Sequence[str]],
    strategies: Mapping[str, tuple[str | None, str | None]],
) -> Table:
    """names: of the classes, by dataset. strategies: rule's pick and best, by cell."""

    def named(one: HardClass, label: int) -> str:
        known = names.get(one.dataset, ())
        return code(known[label]) if label < len(known) else f"class {label}"

    def own(one: HardClass, accuracy: float | None, which: int) -> str:
        strategy = strategies[one.cell][which]
        return NONE if accuracy is None or strategy is None else f"{percent(accuracy)} ({code(strategy)})"

    lines = [
        [
            cell_title(one.cell),
            escape(one.dataset),
            named(one, one.label),
            str(one.images),
            own(one, one.rule, 0),
            own(one, one.best, 1),
            f"{named(one, one.taken_for[0])} ({percent(one.taken_for[1])})" if one.taken_for else NONE,
        ]
        for one in found
    ]
    return Table(
        ["cell", "dataset", "class", "images", "rule's pick", "best", "taken for"], lines, right_from=3
    )


def calibration(found: Sequence[Calibration]) -> Table:
    """Before and after."""
    lines = [
        [cell_title(one.cell), code(one.strategy), points(one.ece), points(one.recalibrated), str(one.runs)]
        for one in found
    ]
    return Table(["cell", "strategy", "ECE, points", "recalibrated", "runs"], lines, right_from=2)

"""The section on which measure of similarity predicts what transfer gains."""

from __future__ import annotations

from dataclasses import replace

from bench.core.records.study import DatasetRecord, MeasuringRecord
from bench.core.schema import MEASURES, Measure
from reports.analysis.rows import StoredStudy, join
from reports.analysis.study import Analysis
from reports.sections.measures import section
from tests.support import report_samples as samples
from tests.support.report_studies import SCRATCH, measured_study


def of(made: StoredStudy, *datasets: DatasetRecord) -> StoredStudy:
    return replace(made, document=replace(made.document, datasets=datasets))


def text(study: StoredStudy) -> str:
    return samples.text_of(section, Analysis(study, "s"))


def test_measures_that_order_the_gains_are_named() -> None:
    found = text(measured_study(6))
    assert MEASURES[Measure.LOGME] in found and MEASURES[Measure.LEEP] not in found
    assert "images per class, no measure" in found
    assert "`linear_probe` minus `scratch` correlates with Fréchet distance, stem" in found
    assert "−0.3" in found and "figures/transferability.png" in found and "test set evaluated once" in found


def test_too_few_conditions_cannot_tell() -> None:
    found = text(measured_study(1))
    assert "It cannot be told: 2 conditions" in found and "| `d0` | tiny | 10 |" in found
    assert "transferability.png" not in found
    assert "It cannot be told: 0 conditions" in text(join(measured_study(6).document, []))


def test_conditions_without_a_result_do_not_count() -> None:
    """Three datasets and a part of the fourth: the outcomes have different conditions, and say so."""
    made = measured_study(4)
    for row in made.rows:
        if (row["dataset"], row["n_per_class"]) == ("d3", 100) and row["strategy"] == SCRATCH:
            row["test_accuracy"] = None
    assert "| 7–8 |" in text(made)


def test_what_does_not_vary_has_no_figure() -> None:
    equal = measured_study(4)
    for row in equal.rows:
        row["test_accuracy"] = 0.5
    found = text(equal)
    assert "no measure is correlated significantly" in found and "None" not in found
    assert "transferability.png" not in found, "no measure has a correlation"


def test_without_measures_there_is_no_section() -> None:
    assert section(Analysis(measured_study(2, measured=False), "s")) == []


def test_what_is_not_measured_yet_is_said_with_the_reason() -> None:
    made = measured_study(2)
    first, second = (
        replace(entry, measured={"tiny": MeasuringRecord("x")}) for entry in made.document.datasets
    )
    assert "Without measures" not in text(of(made, first, second))
    waiting = {"tiny": MeasuringRecord("x", "not measured yet")}
    first = replace(first, measures=(), measured=waiting)
    found = text(of(made, first, second))
    assert "- `d0` on `tiny`: not measured yet" in found and "| `d1` |" in found
    second = replace(second, measures=(), measured=waiting)
    found = text(of(made, first, second))
    assert "It cannot be told yet." in found and "- `d1` on `tiny`: not measured yet" in found
    bare = of(made, replace(first, measured={}), replace(second, measured={}))
    assert section(Analysis(bare, "s")) == []

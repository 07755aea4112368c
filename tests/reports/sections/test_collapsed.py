from __future__ import annotations

from dataclasses import replace

from bench.core.records.runs import RunRecord
from bench.core.schema import Metric
from reports.analysis.collapsed import collapsed, known
from reports.sections import collapsed as section
from tests.support import report_samples as samples


def some_collapsed() -> tuple[dict[str, object], list[RunRecord]]:
    """`full` on glyphs at 10 images: two runs at chance on test images, one on training images alone."""
    study = samples.document()
    runs = []
    for run in samples.all_stored(study):
        dataset, n, _, strategy, seed = run.name.split("-")
        bad = (dataset, n, strategy) == ("glyph", "10", "full")
        more = {
            Metric.TEST_LARGEST_CLASS: 0.1,
            Metric.TRAIN_LARGEST_CLASS: 0.1,
            Metric.TRAIN_ACCURACY_END: 0.1 if bad and seed == "2" else 0.9,
            **({Metric.TEST_ACCURACY: 0.1} if bad and seed != "2" else {}),
        }
        runs.append(replace(run, metrics={**run.metrics, **more}))
    return study, runs


def test_they_are_counted_and_named_by_strategy() -> None:
    study = samples.analysis(*some_collapsed())
    (found,) = collapsed(study.rows)
    assert (found.strategy, found.runs, found.test, found.training_only) == ("full", 12, 2, 1)
    assert found.by_cell == {"dissimilar-small": (3, 3)} and known(study.rows)
    text = samples.text_of(section.section, study)
    assert "`full` in 3 of 12 runs" in text and "| `full` | 12 | 2 | 1 | 3 of 3 |" in text


def test_they_stay_results() -> None:
    study = samples.analysis(*some_collapsed())
    assert all(cell.finished == cell.planned for cell in study.cells)
    cell = next(cell for cell in study.cells if cell.name == "dissimilar-small")
    assert cell.means["full"].n == 3 and cell.means["full"].mean < 0.2


def test_where_there_are_none_or_it_is_not_known_there_is_no_section() -> None:
    study = samples.analysis(samples.document())
    assert collapsed(study.rows) == [] and not known(study.rows) and section.section(study) == []

"""The section along a hyperparameter, against plain computations on hand-made studies."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from PIL import Image

from bench.core.schema import Metric
from reports.records import Study, join
from reports.report import write_study
from reports.sweep import Sweep, against_first, along, sweep
from tests.support import report_samples as samples

DEPTHS = {"none": 0, "two": 2, "four": 4}
ACCURACY = {
    "fine": {10: {label: 0.6 + 0.03 * k for label, k in DEPTHS.items()} | {"scratch": 0.2}},
    "glyph": {10: {label: 0.5 - 0.02 * k for label, k in DEPTHS.items()} | {"scratch": 0.2}},
}


def document(hyperparameters: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Freezing depths 4, 0 and 2 in the plan's order (so not sorted), and another strategy."""
    made = samples.document(ACCURACY, seeds=(0, 1, 2))
    made["matrix"] |= {"baseline": "none", "rule": {"similar-small": "none", "dissimilar-small": "four"}}
    given = hyperparameters or {label: {"k": k, "lr": 0.001} for label, k in DEPTHS.items()}
    for strategy in made["strategies"]:
        if strategy["label"] in given:
            strategy["freeze"] = {"name": "freeze_first", "hyperparameters": given[strategy["label"]]}
            strategy["lr"] = [{"name": "head_x10", "hyperparameters": {"multiplier": 10.0}}]
            strategy["regularize"] = [{"name": "none", "hyperparameters": {}}]
    made["strategies"].reverse()
    return made


@pytest.fixture(scope="module")
def study() -> Study:
    made = document()
    return join(made, samples.all_stored(made, ACCURACY))


def found_in(study: Study) -> Sweep:
    found = sweep(study.document)
    assert found is not None
    return found


def test_a_line_is_found_and_in_order(study: Study) -> None:
    found = found_in(study)
    assert found.name == "freeze_first.k" and len(found.lines) == 1
    assert found.lines[0].composition == "freeze_first + head_x10" and found.lines[0].others == []
    assert list(found.lines[0].strategies.items()) == [(0, "none"), (2, "two"), (4, "four")]


def test_other_hyperparameters_that_differ_are_named() -> None:
    hyperparameters = {"none": {"k": 0, "lr": 0.1}, "two": {"k": 2, "lr": 0.1}, "four": {"k": 4, "lr": 0.2}}
    found = sweep(document(hyperparameters))
    assert found is not None and found.lines[0].others == ["freeze_first.lr"]


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"none": {"k": 0}, "two": {"k": 2}},  # a comparison, not a line
        {"none": {"k": 0}, "two": {"k": 2}, "four": {"k": 2}},  # the same number twice
        {
            "none": {"k": 0, "x": 1},
            "two": {"k": 2, "x": 2},
            "four": {"k": 4, "x": 3},
        },  # of which hyperparameter?
        {"none": {"k": "a"}, "two": {"k": "b"}, "four": {"k": "c"}},  # no numbers
        {"none": {"k": True}, "two": {"k": False}, "four": {"k": 3}},
    ],
)
def test_what_is_no_line(hyperparameters: dict[str, dict[str, Any]]) -> None:
    assert sweep(document(hyperparameters)) is None


def test_a_hyperparameter_that_is_searched_is_no_axis() -> None:
    made = document()
    made["tune"] = {"spaces": {"two": {"freeze_first.k": "1 to 4"}}}
    assert sweep(made) is None
    made["tune"] = {"spaces": {"two": {"freeze_first.lr": "0.1 to 1"}}}
    assert sweep(made) is not None


def test_points_are_means_of_the_cell(study: Study) -> None:
    line = found_in(study).lines[0]
    rows = [r for r in study.rows if r["cell"] == "similar-small" and r["strategy"] == "two"]
    point = along(line, "similar-small", study.rows)[1]
    assert point.value == 2 and point.accuracy.n == len(rows) == 3
    assert point.accuracy.mean == pytest.approx(fmean(r[Metric.TEST_ACCURACY] for r in rows))
    assert point.seconds == pytest.approx(fmean(r[Metric.TRAIN_SECONDS] for r in rows))
    assert point.memory == pytest.approx(fmean(r[Metric.PEAK_MEMORY] for r in rows))
    assert along(line, "similar-large", study.rows) == []


def test_differences_are_to_the_lowest_value_whatever_the_baseline(study: Study) -> None:
    moved = Study({**study.document, "matrix": {"baseline": "scratch"}}, study.rows, study.runs, study.stored)
    ranked = dict(against_first(found_in(study).lines[0], moved.document, moved.rows))
    assert list(ranked) == [0, 2, 4] and ranked[0].interval.mean == 0
    assert ranked[4].by_cell["similar-small"] == pytest.approx(0.12, abs=0.01)  # 4 stages of .03
    assert ranked[4].by_cell["dissimilar-small"] == pytest.approx(-0.08, abs=0.01)


def test_the_report_has_the_section_and_its_figure(study: Study, tmp_path: Path) -> None:
    folder = write_study(study, "depths", tmp_path)
    text = (folder / "report.md").read_text()
    section = text.split("## Along `freeze_first.k`")[1].split("\n## ")[0]
    assert "figures/sweep.png" in section and "on CPU the process' peak resident size" in section
    lines = [line for line in section.splitlines() if line.startswith("| `freeze_first + head_x10`")]
    assert [line.split("|")[2].strip() for line in lines] == ["0", "2", "4"]
    assert "differs too" not in section
    with Image.open(folder / "figures" / "sweep.png") as image:
        assert image.width > 1000 and image.convert("L").getextrema()[0] < 100


def test_studies_without_a_line_have_no_section(tmp_path: Path) -> None:
    made = samples.document()
    folder = write_study(join(made, samples.all_stored(made)), "plain", tmp_path)
    assert (
        "## Along" not in (folder / "report.md").read_text() and not (folder / "figures/sweep.png").exists()
    )

"""The effect of one hyperparameter, against plain computations on hand-made studies."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

from bench.core.records.study import StudyRecord
from bench.core.schema import Metric
from reports.analysis.effect import Effect, against_first, along, effect
from reports.analysis.rows import StoredStudy
from tests.support import report_samples as samples
from tests.support.report_studies import DEPTH_ACCURACY, depths


@pytest.fixture(scope="module")
def study() -> StoredStudy:
    made = depths()
    return samples.joined(made, samples.all_stored(made, DEPTH_ACCURACY))


def found_in(study: StoredStudy) -> Effect:
    found = effect(study.document)
    assert found is not None
    return found


def test_a_series_is_found_and_in_order(study: StoredStudy) -> None:
    found = found_in(study)
    assert found.name == "freeze_first.k" and len(found.series) == 1
    assert found.series[0].composition == "freeze_first + head_x10" and found.series[0].others == []
    assert list(found.series[0].strategies.items()) == [(0, "none"), (2, "two"), (4, "four")]


def test_other_hyperparameters_that_differ_are_named() -> None:
    hyperparameters = {"none": {"k": 0, "lr": 0.1}, "two": {"k": 2, "lr": 0.1}, "four": {"k": 4, "lr": 0.2}}
    found = effect(StudyRecord.from_json(depths(hyperparameters)))
    assert found is not None and found.series[0].others == ["freeze_first.lr"]


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"none": {"k": 0}, "two": {"k": 2}},  # a comparison, not a series
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
def test_what_is_no_series(hyperparameters: dict[str, dict[str, Any]]) -> None:
    assert effect(StudyRecord.from_json(depths(hyperparameters))) is None


def test_a_hyperparameter_that_is_searched_is_no_axis() -> None:
    made = depths()
    made["tune"] = {"spaces": {"two": {"freeze_first.k": "1 to 4"}}}
    assert effect(StudyRecord.from_json(made)) is None
    made["tune"] = {"spaces": {"two": {"freeze_first.lr": "0.1 to 1"}}}
    assert effect(StudyRecord.from_json(made)) is not None


def test_points_are_means_of_the_cell(study: StoredStudy) -> None:
    series = found_in(study).series[0]
    rows = [r for r in study.rows if r["cell"] == "similar-small" and r["strategy"] == "two"]
    point = along(series, "similar-small", study.rows)[1]
    assert point.value == 2 and point.accuracy.n == len(rows) == 3
    assert point.accuracy.mean == pytest.approx(fmean(r[Metric.TEST_ACCURACY] for r in rows))
    assert point.seconds == pytest.approx(fmean(r[Metric.TRAIN_SECONDS] for r in rows))
    assert point.memory == pytest.approx(fmean(r[Metric.PEAK_MEMORY] for r in rows))
    assert along(series, "similar-large", study.rows) == []


def test_differences_are_to_the_lowest_value_whatever_the_baseline(study: StoredStudy) -> None:
    assert study.document.matrix.baseline == "none"
    ranked = dict(against_first(found_in(study).series[0], study.rows))
    assert list(ranked) == [0, 2, 4] and ranked[0].interval.mean == 0
    assert ranked[4].by_cell["similar-small"] == pytest.approx(0.12, abs=0.01)  # 4 stages of .03
    assert ranked[4].by_cell["dissimilar-small"] == pytest.approx(-0.08, abs=0.01)

from __future__ import annotations

import math

import pytest

from bench.core.records.study import StudyRecord
from bench.core.schema import CELLS
from reports.analysis.document import scratch_label
from reports.analysis.stats import Comparison
from reports.analysis.verdict import Reason, Verdict, decide
from tests.support import report_samples as samples

MARGIN = 0.01


def against(mean: float, low: float, high: float, n: int = 5) -> Comparison:
    """With one interval, both its own and the simultaneous: what a single alternative has."""
    p = 0.001 if low > 0 else 0.5
    return Comparison("other", "rule", n, mean, 0.0, low, high, low, high, p)


UNKNOWN = against(math.nan, -math.inf, math.inf, n=0)


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        ([against(-0.02, -0.03, -0.01)], Verdict.SUPPORTED),
        ([against(0.002, -0.004, 0.009)], Verdict.SUPPORTED),  # equivalent within the margin
        ([against(0.002, 0.001, 0.003)], Verdict.SUPPORTED),  # better, but by less than the margin
        ([against(0.002, -0.008, 0.010)], Verdict.UNDECIDED),  # the bound must be below the margin
        ([against(0.030, 0.020, 0.040)], Verdict.CONTRADICTED),
        ([against(0.015, 0.001, 0.029)], Verdict.CONTRADICTED),  # surely better, probably by the margin
        ([against(0.009, 0.001, 0.017)], Verdict.UNDECIDED),  # surely better, perhaps by less than the margin
        ([against(0.030, -0.010, 0.070)], Verdict.UNDECIDED),
        ([against(-0.1, -0.2, -0.05), against(0.03, 0.02, 0.04)], Verdict.CONTRADICTED),
        ([against(-0.1, -0.2, -0.05), UNKNOWN], Verdict.UNDECIDED),  # nobody knows what the other one does
        ([against(0.03, 0.02, 0.04), UNKNOWN], Verdict.CONTRADICTED),
        ([UNKNOWN], Verdict.UNTESTED),
        ([], Verdict.UNTESTED),
    ],
)
def test_decide(comparisons: list[Comparison], expected: Verdict) -> None:
    assert decide("rule", ["rule", "other"], 5, comparisons, MARGIN)[0] == expected


@pytest.mark.parametrize(
    ("rule", "n", "why"),
    [
        (None, 5, Reason.NO_PICK),
        ("absent", 0, Reason.NOT_PLANNED),
        ("rule", 1, Reason.FEW_OF_RULE),
        ("rule", 5, Reason.FEW_OF_ALTERNATIVES),
    ],
)
def test_untested_says_why(rule: str | None, n: int, why: Reason) -> None:
    assert decide(rule, ["rule", "other"], n, [UNKNOWN], MARGIN) == (Verdict.UNTESTED, why)


def test_a_study_s_cells() -> None:
    study = samples.document(seeds=range(5))
    cells = samples.analysis(study).cells
    assert [cell.name for cell in cells] == CELLS
    assert [str(cell.verdict) for cell in cells] == ["supported", "supported", "contradicted", "supported"]
    assert cells[2].regret == pytest.approx(cells[2].best_accuracy - cells[2].rule_accuracy)
    assert cells[2].regret_low > 0 and [c.strategy for c in cells[3].negative] == [
        "linear_probe",
        "last_stages",
    ]


def test_best_against_the_rule_is_over_their_common_blocks() -> None:
    study = samples.document()
    runs = [run for run in samples.all_stored(study, between=0.2) if "fine-10-tiny-full-0" not in run.name]
    cell = samples.analysis(study, runs).cells[0]
    full = next(c for c in cell.comparisons if c.strategy == "full")
    assert (full.n, cell.means["full"].n, cell.means["linear_probe"].n) == (2, 2, 3)
    assert (cell.planned, cell.finished, cell.open) == (12, 11, 1)


def test_no_rule_still_has_a_best() -> None:
    study = samples.document(rule=dict.fromkeys(CELLS))
    cells = samples.analysis(study).cells
    assert {cell.verdict for cell in cells} == {Verdict.UNTESTED}
    assert cells[0].best == "linear_probe" and math.isnan(cells[0].regret)


def test_scratch_is_found_by_its_part() -> None:
    study = samples.document()
    assert scratch_label(StudyRecord.from_json(study)) == "scratch"
    study["strategies"][3] = {"label": "scratch_slow", "freeze": {"name": "scratch"}, "lr": []}
    assert scratch_label(StudyRecord.from_json(study)) == "scratch_slow"
    study["strategies"].pop(3)
    assert scratch_label(StudyRecord.from_json(study)) is None

from __future__ import annotations

from bench.core.schema import Metric, Status
from reports.sections.unchanged import section
from tests.support import report_samples as samples
from tests.support.report_studies import with_ncm


def test_strategies_that_fell_are_named() -> None:
    text = samples.text_of(section, samples.analysis(*with_ncm()))
    assert "Fell below the unchanged network: `scratch` in 12 of 12 runs, `full` in" in text
    line = next(line for line in text.splitlines() if line.startswith("| `scratch` | 95.0 %"))
    assert line.count("3 of 3") == 4 and "Left out" not in text


def test_runs_without_the_score_are_told() -> None:
    text = samples.text_of(section, samples.analysis(*with_ncm(known=False)))
    assert "It cannot be told: no stored run has the score of the unchanged network." in text
    document, runs = with_ncm()
    del runs[0].metrics[Metric.NCM_TEST_ACCURACY]
    text = samples.text_of(section, samples.analysis(document, runs))
    assert "Left out: 1 of 48 finished runs, stored without" in text


def test_none_fell_and_none_finished() -> None:
    document, runs = with_ncm()
    for run in runs:
        run.metrics[Metric.NCM_TEST_ACCURACY] = 0.0
    text = samples.text_of(section, samples.analysis(document, runs))
    assert "No strategy fell below the unchanged network in any of 48 runs." in text
    unfinished = [samples.stored(document["plan"][0], None, Status.RUNNING)]
    assert "No run has finished." in samples.text_of(section, samples.analysis(document, unfinished))

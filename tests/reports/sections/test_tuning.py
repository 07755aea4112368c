from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reports.analysis.study import Analysis
from reports.sections import answer, protocol, searches, tuning
from tests.support import report_samples as samples
from tests.support.report_studies import tuned_study


@pytest.fixture(scope="module")
def study() -> Analysis:
    return samples.analysis(*tuned_study())


def test_verdicts_with_and_without_tuning_stand_side_by_side(study: Analysis) -> None:
    text = samples.text_of(tuning.section, study)
    assert "every strategy got 4 trials" in text and "each trial the mean over 2 splits" in text
    (line,) = [
        x
        for x in text.splitlines()
        if x.startswith("| dissimilar, large | `scratch` | ") and x.count("|") == 9
    ]
    assert line.count("contradicted") == 1 and "figures/tuning.png" in text


def test_the_answer_says_what_tuning_changed(study: Analysis) -> None:
    text = samples.text_of(answer.section, study)
    assert "tuning has changed" in text
    assert re.search(r"from supported \(regret .*\) to contradicted \(regret", text)


def test_the_searches_and_what_mattered_in_them(study: Analysis) -> None:
    text = samples.text_of(searches.section, study)
    assert "| `full` | `l2_sp.alpha` | 10 % | 4 |" in text and "figures/history.png" in text
    assert "| 50.0 % | 70.0 % | 55.0 % to 66.0 % |" in text


def test_the_protocol_says_how_a_trial_was_chosen(study: Analysis) -> None:
    assert study.tune
    old = tuning.protocol(study.tune)
    assert "sampler tpe" in old and "chosen by validation accuracy" in old
    new = tuning.protocol(replace(study.tune, sampler="design", choice="smoothed"))
    assert "steps around the defaults" in new and "chosen by smoothed validation accuracy" in new


def test_the_protocol_names_the_search(study: Analysis) -> None:
    text = samples.text_of(protocol.section, study)
    assert (
        "hyperparameters tuned on validation images" in text
        and "- Search: every strategy got 4 trials" in text
    )


def test_a_study_that_does_not_tune_says_nothing_of_it() -> None:
    plain = samples.analysis(samples.document())
    assert tuning.section(plain) == [] and searches.section(plain) == []
    text = samples.text_of(protocol.section, plain)
    assert "hyperparameters fixed beforehand" in text and "Search" not in text

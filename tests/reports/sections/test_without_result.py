from __future__ import annotations

import re

from bench.core.schema import Status
from reports.sections.without_result import section
from tests.support import report_samples as samples


def test_failures_are_listed_with_the_last_line_of_their_error() -> None:
    study = samples.document()
    runs = samples.all_stored(study)
    error = "Traceback ...\nValueError: <bad> | worse"
    runs[0] = samples.stored(study["plan"][0], None, Status.FAILED, error=error)
    runs[1] = samples.stored(study["plan"][1], None, Status.KILLED)
    text = samples.text_of(section, samples.analysis(study, runs))
    assert r"ValueError: \<bad\> \| worse" in text and "Traceback" not in text
    assert re.search(r"^\| killed \|", text, re.MULTILINE)


def test_runs_that_are_missing_have_not_failed() -> None:
    study = samples.document()
    runs = samples.all_stored(study)
    assert "None: all planned runs have finished." in samples.text_of(section, samples.analysis(study, runs))
    text = samples.text_of(section, samples.analysis(study, runs[1:]))
    assert "Runs are missing; none has failed." in text

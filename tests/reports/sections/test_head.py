from __future__ import annotations

from bench.core.schema import Metric, Status
from reports.sections import head
from tests.support import report_samples as samples


def test_a_finished_study_has_its_name_and_question() -> None:
    text = samples.text_of(head.section, samples.analysis(samples.document()))
    assert text == "# sample\n\n> Does the textbook's decision matrix hold?\n"
    silent = samples.document() | {"question": " "}
    assert samples.text_of(head.section, samples.analysis(silent)) == "# sample\n"


def test_nothing_finished_is_not_provisional() -> None:
    study = samples.document()
    text = samples.text_of(
        head.section, samples.analysis(study, [samples.stored(study["plan"][0], None, Status.RUNNING)])
    )
    assert "0 of 48 planned runs have finished" in text and "provisional" not in text


def test_an_unfinished_study_is_provisional_and_a_failed_run_does_not_make_it_so() -> None:
    study = samples.document()
    runs = samples.all_stored(study)
    assert "estimates and no verdict yet" in samples.text_of(head.section, samples.analysis(study, runs[:-1]))
    failed = samples.stored(study["plan"][-1], None, Status.FAILED)
    text = samples.text_of(head.section, samples.analysis(study, [*runs[:-1], failed]))
    assert "**47 of 48 planned runs have finished** (1 failed)." in text and "provisional" not in text


def test_runs_that_did_not_fit_into_memory_are_told() -> None:
    study = samples.document()
    runs = samples.all_stored(study)
    runs[0].metrics[Metric.MICRO_BATCH] = 8
    runs[1].metrics[Metric.MICRO_BATCH] = 16
    text = samples.text_of(head.section, samples.analysis(study, runs))
    assert "**2 runs did not fit" in text and "8 to 16 images at a time" in text

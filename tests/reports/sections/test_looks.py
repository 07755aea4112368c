from __future__ import annotations

from dataclasses import replace

from bench.core.records.looks import LookRecord
from bench.core.schema import Status
from reports.analysis.rows import join
from reports.analysis.study import Analysis
from reports.sections import answer, choice, each_dataset, looks
from tests.support import raced_study
from tests.support import report_samples as samples


def test_the_race_look_by_look_and_what_it_saved() -> None:
    study = raced_study.analysis()
    text = samples.text_of(looks.section, study)
    assert "add up to at most 2.5 %" in text and "(figures/looks.png)" in text
    runs, every = len(study.rows), 4 * (2 + 2 + 1 + 1) * 8
    assert f"{runs} runs instead of the {every} of 8 seeds for every strategy" in text
    for one in study.looks:
        assert text.count(f"| {one.name.replace('-', ', ')} |") == len(one.taken)


def test_one_look_at_a_fixed_number_of_seeds_needs_no_section() -> None:
    assert looks.section(samples.analysis(samples.document())) == []


def test_looks_beyond_the_plan_are_told_with_the_rate_that_they_leave() -> None:
    document = samples.document(seeds=range(5))
    study = samples.analysis(document)
    record = study.looks[0].fresh[0]
    earlier = replace(record, seeds=(0, 1, 2), runs="other", planned=3, when="2026-01-02T03:04:05+00:00")
    text = samples.text_of(looks.section, with_ledger(study, earlier))
    assert "**Looked at beyond the plan.**" in text and "similar, small 5.0 %" in text
    assert "2026-01-02 03:04:05" in text and "another strategy was the rule's pick" not in text
    other = replace(earlier, rule="scratch")
    assert "the error rate is not known" in samples.text_of(looks.section, with_ledger(study, other))


def with_ledger(study: Analysis, *records: LookRecord) -> Analysis:
    """The same study, whose store has these looks."""
    tags = {f"bench.look.{i}": record.to_json() for i, record in enumerate(records)}
    run = samples.stored({"run_id": "study"}, None)
    ledger = replace(run, tags={"purpose": "study", **tags})
    return replace(study, study=replace(study.study, stored=[*study.study.stored, ledger]))


def test_each_cell_says_whom_to_choose_and_what_that_saves() -> None:
    study = raced_study.analysis()
    text = samples.text_of(answer.section, study)
    assert "**similar, large:** Choose `last_stages`: the cheapest that is as good as the best of 4" in text
    assert (
        "**dissimilar, small:** Choose `last_stages`" in text
        and "**dissimilar, large:** Choose `scratch`" in text
    )
    cell = next(cell for cell in study.cells if cell.name == "dissimilar-small")
    saving = replace(study.ties["dissimilar-small"], best="full")
    assert "15 s a run instead of 40 s" in choice.choice(saving, cell, study.margin)


def test_cells_of_several_datasets_speak_for_each() -> None:
    text = samples.text_of(each_dataset.section, raced_study.analysis())
    assert "gains over the rule's pick differs between the datasets, from +15" in text
    assert "| `fine b` |" in text and "`glyph`" not in text, "one dataset is the cell itself"


def test_a_look_that_waits_for_failed_runs_says_what_to_do() -> None:
    document = samples.document(seeds=range(3))
    runs = samples.all_stored(document)
    broken = [samples.stored(document["plan"][0], None, Status.FAILED, error="crash"), *runs[1:]]
    study = Analysis(join(samples.analysis(document).document, broken), "sample")
    text = samples.text_of(answer.section, study)
    assert "The look after 3 seeds waits for 1 run that failed" in text and "`--without-failed`" in text
    assert "The rule is **provisional**" in text

from __future__ import annotations

from bench.core.schema import CELLS, Status
from reports.sections.answer import answer, section, sentence
from tests.support import report_samples as samples


def test_a_study_in_words() -> None:
    study = samples.analysis(samples.document(seeds=range(5)))
    assert answer(study.cells) == (
        "Of 4 cells of the decision matrix, the textbook rule is supported in 3 and contradicted in 1."
    )
    contradicted = sentence(study, study.looks[2])
    assert "`full` reaches" in contradicted and "following the rule costs" in contradicted


def test_without_a_rule_it_says_why() -> None:
    study = samples.analysis(samples.document(rule=dict.fromkeys(CELLS)))
    assert "The rule's pick is not in the study." in sentence(study, study.looks[0])


def test_nothing_finished() -> None:
    study = samples.document()
    running = samples.analysis(study, [samples.stored(study["plan"][0], None, Status.RUNNING)])
    assert answer(running.cells) == "No run has finished yet, so there is no answer."
    assert all(sentence(running, looks) for looks in running.looks)
    text = samples.text_of(section, running)
    assert "\n- " not in text and "(figures/matrix.png)" in text


def test_it_says_what_small_and_similar_mean() -> None:
    study = samples.document()
    study["datasets"][0]["similarity_text"] = "similar (measured, 0.4)"
    text = samples.text_of(section, samples.analysis(study))
    assert "**small** means at most 50 images per class" in text
    assert "`fine` is similar (measured, 0.4), `glyph` is dissimilar (declared)." in text

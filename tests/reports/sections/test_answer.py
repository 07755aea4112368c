from __future__ import annotations

from bench.core.schema import CELLS, Status
from reports.sections.answer import answer, section, sentence
from tests.support import report_samples as samples

MARGIN = 0.01


def test_a_study_in_words() -> None:
    cells = samples.analysis(samples.document(seeds=range(5))).cells
    assert answer(cells) == (
        "Of 4 cells of the decision matrix, the textbook rule is supported in 3 and contradicted in 1."
    )
    contradicted = sentence(cells[2], MARGIN)
    assert "`full` reaches" in contradicted and "following the rule costs" in contradicted


def test_without_a_rule_it_says_why() -> None:
    cells = samples.analysis(samples.document(rule=dict.fromkeys(CELLS))).cells
    assert "The rule's pick is not in the study." in sentence(cells[0], MARGIN)


def test_nothing_finished() -> None:
    study = samples.document()
    running = samples.analysis(study, [samples.stored(study["plan"][0], None, Status.RUNNING)])
    assert answer(running.cells) == "No run has finished yet, so there is no answer."
    assert all(sentence(cell, MARGIN) for cell in running.cells)
    text = samples.text_of(section, running)
    assert "\n- " not in text and "(figures/matrix.png)" in text


def test_it_says_what_small_and_similar_mean() -> None:
    study = samples.document()
    study["datasets"][0]["similarity_text"] = "similar (measured, 0.4)"
    text = samples.text_of(section, samples.analysis(study))
    assert "**small** means at most 50 images per class" in text
    assert "`fine` is similar (measured, 0.4), `glyph` is dissimilar (declared)." in text

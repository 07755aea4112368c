from __future__ import annotations

from reports.sections.ranks import section
from tests.support import report_samples as samples


def test_too_few_conditions_are_told() -> None:
    text = samples.text_of(section, samples.analysis(samples.document()))
    assert "No rank test: it needs at least 5 conditions" in text
    assert "there are 4 conditions and 4 strategies." in text and "figures/" not in text


def test_six_conditions_are_ranked() -> None:
    accuracy = {name: samples.ACCURACY["fine"] for name in ("fine", "fine2", "glyph")}
    study = samples.document(accuracy)
    text = samples.text_of(section, samples.analysis(study, samples.all_stored(study, accuracy)))
    assert "over 6 conditions" in text and "figures/ranks.png" in text
    assert len([line for line in text.splitlines() if line.startswith("| `")]) == 4


def test_nothing_finished_has_nothing_to_rank() -> None:
    assert section(samples.analysis(samples.document(), [])) == []

from __future__ import annotations

from reports.sections.ranking import section
from tests.support import report_samples as samples


def test_strategies_stand_best_first_with_their_p_values() -> None:
    study = samples.document()
    study["matrix"]["baseline"] = "full"
    found = samples.analysis(study)
    text = samples.text_of(section, found)
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert [line[0].strip("| `") for line in lines] == [one.strategy for one in found.ranking]
    baseline = next(line for line in lines if line[0] == "| `full`")
    assert baseline[2] == "+0.0" and baseline[4] == "–", "the baseline is not tested against itself"
    assert "Against the baseline `full`" in text and "figures/ranking.png" in text


def test_without_a_baseline_there_is_none() -> None:
    study = samples.document()
    study["matrix"]["baseline"] = None
    assert section(samples.analysis(study)) == []

from __future__ import annotations

from reports.sections.effect import section
from tests.support import report_samples as samples
from tests.support.report_studies import DEPTH_ACCURACY, depths


def test_a_line_per_value() -> None:
    study = depths()
    text = samples.text_of(section, samples.analysis(study, samples.all_stored(study, DEPTH_ACCURACY)))
    assert text.startswith("## Effect of `freeze_first.k`\n") and "figures/effect.png" in text
    assert "on CPU the process' peak resident size" in text and "differs too" not in text
    lines = [line for line in text.splitlines() if line.startswith("| `freeze_first + head_x10`")]
    assert [line.split("|")[2].strip() for line in lines] == ["0", "2", "4"]


def test_what_differs_besides_is_told() -> None:
    given = {"none": {"k": 0, "lr": 0.1}, "two": {"k": 2, "lr": 0.1}, "four": {"k": 4, "lr": 0.2}}
    study = depths(given)
    text = samples.text_of(section, samples.analysis(study, samples.all_stored(study, DEPTH_ACCURACY)))
    assert "`freeze_first.lr` differs too." in text


def test_studies_without_such_strategies_or_results_have_none() -> None:
    assert section(samples.analysis(samples.document())) == []
    assert section(samples.analysis(depths(), [])) == []

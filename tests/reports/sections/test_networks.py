from __future__ import annotations

from reports.analysis.study import Analysis
from reports.sections.networks import section
from tests.support import report_samples as samples
from tests.support.report_studies import two_networks


def test_networks_that_are_opposite() -> None:
    text = samples.text_of(section, Analysis(two_networks(reverse=True), "two"))
    assert "correlates -1.00 between networks" in text and "1.00 between seeds of one network" in text
    assert "`full` on `a`, `scratch` on `b`" in text and "figures/networks.png" in text


def test_one_network_has_nobody_to_agree_with() -> None:
    assert section(samples.analysis(samples.document())) == []

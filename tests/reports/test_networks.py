"""Whether networks agree, on hand-made studies in which they do, or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.core.schema import Metric, Status
from reports.networks import Networks, networks
from reports.records import Study, join
from reports.report import write_study
from tests.support import report_samples as samples

NAMES = ("a", "b")
STRATEGIES = {"linear_probe": 0.70, "freeze_most": 0.76, "full": 0.82, "scratch": 0.3}
SETS = {"fine": {10: STRATEGIES}, "glyph": {10: STRATEGIES}}


def study(reverse: bool = False, seeds: tuple[int, ...] = (0, 1, 2), noise: float = 0.003) -> Study:
    """Two networks; with `reverse`, what is best on a is worst on b."""
    document = samples.document(SETS, seeds=seeds, backbones=NAMES)
    document["matrix"]["baseline"] = "freeze_most"
    runs = samples.all_stored(document, SETS, within=noise)
    for planned, run in zip(document["plan"], runs, strict=True):
        if reverse and planned["backbone"] == "b":
            run["metrics"][Metric.TEST_ACCURACY] = 1 - run["metrics"][Metric.TEST_ACCURACY]
    return join(document, runs)


def agreed(made: Study) -> Networks:
    found = networks(made.document, made.rows)
    assert found is not None
    return found


def test_networks_that_agree() -> None:
    found = agreed(study())
    assert found.names == list(NAMES) and found.strategies[0] == "full" and found.strategies[-1] == "scratch"
    assert found.agreement == {(x, y): pytest.approx(1.0) for x in NAMES for y in NAMES}
    assert all(one.mean == 0 for one in found.carried.values())
    assert found.against["a"]["full"].interval.mean == pytest.approx(0.06, abs=0.01)


def test_networks_that_are_opposite() -> None:
    found = agreed(study(reverse=True))
    assert found.agreement["a", "a"] == found.agreement["b", "b"] == pytest.approx(1.0)
    assert found.agreement["a", "b"] == found.agreement["b", "a"] == pytest.approx(-1.0)
    # b's best is scratch, a's is full: .82 against .3 either way
    assert found.carried["a", "b"].mean == pytest.approx(0.52, abs=0.02)
    assert found.carried["b", "a"].mean == pytest.approx(0.52, abs=0.02)
    assert found.carried["a", "a"].mean == found.carried["b", "b"].mean == 0


def test_noise_lowers_the_agreement_of_a_network_with_itself() -> None:
    found = agreed(study(noise=0.3))
    assert found.agreement["a", "a"] < 0.9


def test_what_is_picked_is_judged_by_another_seed() -> None:
    """On one seed of b scratch is far ahead; picked there it would cost a's full .1 on that seed, held out it may not."""
    made = study()
    for row in made.rows:
        if (row["backbone"], row["strategy"], row["seed"]) == ("b", "scratch", 0):
            row[Metric.TEST_ACCURACY] = 0.95
    carried = agreed(made).carried["a", "b"]
    assert carried.mean == 0  # over seeds 1 and 2, and over 0 with one other, full stays b's best


@pytest.mark.parametrize("lost", ["one seed", "a strategy on one network"])
def test_only_what_is_complete_on_all_networks_is_compared(lost: str) -> None:
    made = study()
    for row in made.rows:
        one_seed = lost == "one seed" and (row["backbone"], row["seed"], row["strategy"]) == ("b", 2, "full")
        if one_seed or (lost != "one seed" and (row["backbone"], row["strategy"]) == ("b", "scratch")):
            row |= {"status": Status.FAILED, Metric.TEST_ACCURACY: None}
    found = agreed(made)
    if lost == "one seed":
        assert found.carried["a", "b"].n == 2 and "full" in found.strategies
    else:
        assert found.carried["a", "b"].n == 3 and "scratch" not in found.strategies


@pytest.mark.parametrize("change", [{"seeds": (0,)}, {"baseline": "absent"}, {"one": True}])
def test_where_there_is_nothing_to_compare(change: dict[str, Any]) -> None:
    made = study(seeds=change.get("seeds", (0, 1)))
    if "baseline" in change:
        made.document["matrix"]["baseline"] = None
    rows = [row for row in made.rows if row["backbone"] == "a"] if "one" in change else made.rows
    assert networks(made.document, rows) is None


def test_the_report_has_the_section_and_its_figure(tmp_path: Path) -> None:
    folder = write_study(study(reverse=True), "two", tmp_path)
    section = (folder / "report.md").read_text().split("## Do the networks agree?")[1].split("\n## ")[0]
    assert "correlates -1.00 between networks" in section and "1.00 between seeds of one network" in section
    assert "`full` on `a`, `scratch` on `b`" in section and "figures/networks.png" in section
    with Image.open(folder / "figures" / "networks.png") as image:
        assert image.width > 1000 and image.convert("L").getextrema()[0] < 100

"""A tuned study: verdicts of tuned runs, those of default ones beside them, and what the searches found."""

from __future__ import annotations

import pytest

from bench.core.schema import Tag
from reports.analysis.rows import StoredStudy
from reports.analysis.searches import best_so_far
from reports.analysis.study import Analysis
from tests.support import report_samples as samples
from tests.support.report_studies import LOST, SEEDS, tuned_study


@pytest.fixture(scope="module")
def study() -> StoredStudy:
    return samples.joined(*tuned_study())


def test_the_verdicts_are_of_tuned_runs_and_the_default_ones_stand_beside_them(study: StoredStudy) -> None:
    found = Analysis(study, "s")
    assert {row["setting"] for row in found.rows} == {"tuned"}
    before, after = ({c.name: c for c in cells}["dissimilar-large"] for cells in (found.before, found.cells))
    assert (before.best, after.best) == ("full", "full") and before.rule == "scratch"
    assert before.regret == pytest.approx(0.001, abs=0.004)
    assert after.regret == pytest.approx(before.regret + 0.05 + LOST, abs=1e-9)
    assert after.verdict == "contradicted" != before.verdict


def test_gains_are_paired_differences_over_seeds(study: StoredStudy) -> None:
    gains = {(g.cell, g.strategy): g for g in Analysis(study, "s").gains}
    full, scratch = gains["similar-small", "full"], gains["dissimilar-large", "scratch"]
    assert full.difference.mean == pytest.approx(0.05) and full.difference.n == len(SEEDS)
    assert scratch.difference.mean == pytest.approx(-LOST) and scratch.tuned < scratch.default
    assert gains["similar-small", "linear_probe"].difference.mean == 0


def test_a_seed_without_one_of_the_settings_counts_nowhere() -> None:
    document, runs = tuned_study()
    gone = next(r for r in document["plan"] if r["setting"] == "tuned" and r["strategy"] == "full")["run_id"]
    found = Analysis(samples.joined(document, [r for r in runs if r.tags.get(Tag.RUN_ID) != gone]), "s")
    gains = {(g.cell, g.strategy): g.difference.n for g in found.gains}
    assert gains["similar-small", "full"] == len(SEEDS) - 1 and gains["similar-large", "full"] == len(SEEDS)


def test_searches_are_told_with_their_trials(study: StoredStudy) -> None:
    searches = Analysis(study, "s").searches
    assert len(searches) == 4 * 4, "conditions x strategies"
    first = searches[0]
    assert first.count("finished") == 3 and first.count("pruned") == 1
    assert best_so_far([first]) == [0.5, 0.7, 0.7, 0.7]
    assert first.chosen == {"full.lr": 0.02, "l2_sp.alpha": 0.1} and first.default == 0.5
    assert (first.smoothed, first.smoothed_default, first.kept) == (0.66, 0.55, False)

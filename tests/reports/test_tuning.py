"""A tuned study's report: verdicts of tuned runs, those of default ones beside them, and what the searches found."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from bench.core.schema import IMPORTANCE, Metric, Purpose, Status, Tag
from reports.analysis import Analysis
from reports.records import Study, join
from reports.report import write_study
from reports.searches import best_so_far
from tests.support import report_samples as samples

SEEDS = (0, 1, 2, 3)
TUNE = {
    "trials": 4, "seconds": None, "samples_seen": None, "sampler": "tpe", "pruner": "none", "splits": 2,
    "each_seed": False, "refit": True, "untuned": True,
}  # fmt: skip
LOST = 0.06
"""What tuning costs scratch at dissimilar, large: so that the rule holds untuned, and fails tuned."""


def tuned_study() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The sample study in both settings: tuning raises full by 5 points and lowers scratch on glyphs."""
    document = samples.document(seeds=SEEDS)
    document["tune"] = TUNE
    tuned = deepcopy(document)
    runs = samples.all_stored(document, within=0.001)
    for row in document["plan"]:
        row["setting"] = "default"
    for row in tuned["plan"]:
        search = f"{row['dataset']}-{row['n_per_class']}-{row['strategy']}"
        row |= {"run_id": f"t-{row['run_id']}", "setting": "tuned", "tuning_id": search}
    changed = []
    for row, run in zip(tuned["plan"], runs, strict=True):
        gain = {"full": 0.05, "scratch": -LOST if row["dataset"] == "glyph" else 0.0}.get(
            row["strategy"], 0.0
        )
        metrics = {**run["metrics"], Metric.TEST_ACCURACY: run["metrics"][Metric.TEST_ACCURACY] + gain}
        changed.append({**run, "tags": {**run["tags"], Tag.RUN_ID: row["run_id"]}, "metrics": metrics})
    document["plan"] += tuned["plan"]
    return document, [*runs, *changed, *search_runs(tuned["plan"])]


def search_runs(plan: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A finished search per tuned condition and strategy, of trials worth .5, .7, a pruned one, and .6."""
    found = []
    for row in {row["tuning_id"]: row for row in plan}.values():
        parent = samples.stored({"run_id": row["tuning_id"]}, None)
        parent["tags"] |= {
            Tag.PURPOSE: str(Purpose.TUNING),
            Tag.TUNING_ID: row["tuning_id"],
            Tag.CHOSEN: json.dumps({"full.lr": 0.02, "l2_sp.alpha": 0.1}),
        }
        parent["metrics"] = {
            Metric.TUNED_VAL_ACCURACY: 0.7,
            Metric.DEFAULT_VAL_ACCURACY: 0.5,
            Metric.TUNING_SECONDS: 30.0,
            f"{IMPORTANCE}full.lr": 0.9,
            f"{IMPORTANCE}l2_sp.alpha": 0.1,
        }
        found.append(parent)
        for number, value in enumerate([0.5, 0.7, None, 0.6]):
            status = Status.PRUNED if value is None else Status.FINISHED
            metrics = {} if value is None else {Metric.VAL_ACCURACY: value}
            trial = samples.stored({"run_id": "-"}, None, status, **metrics)
            trial["tags"] |= {
                Tag.PURPOSE: str(Purpose.TRIAL), Tag.PARENT: parent["mlflow_run_id"], Tag.TRIAL: str(number)
            }  # fmt: skip
            found.append(trial)
    return found


@pytest.fixture(scope="module")
def study() -> Study:
    return join(*tuned_study())


def test_the_verdicts_are_of_tuned_runs_and_the_default_ones_stand_beside_them(study: Study) -> None:
    found = Analysis(study, "s")
    assert {row["setting"] for row in found.rows} == {"tuned"}
    before, after = ({c.name: c for c in cells}["dissimilar-large"] for cells in (found.before, found.cells))
    assert (before.best, after.best) == ("full", "full") and before.rule == "scratch"
    assert before.regret == pytest.approx(0.001, abs=0.004)
    assert after.regret == pytest.approx(before.regret + 0.05 + LOST, abs=1e-9)
    assert after.verdict == "contradicted" != before.verdict


def test_gains_are_paired_differences_over_seeds(study: Study) -> None:
    gains = {(g.cell, g.strategy): g for g in Analysis(study, "s").gains}
    full, scratch = gains["similar-small", "full"], gains["dissimilar-large", "scratch"]
    assert full.difference.mean == pytest.approx(0.05) and full.difference.n == len(SEEDS)
    assert scratch.difference.mean == pytest.approx(-LOST) and scratch.tuned < scratch.default
    assert gains["similar-small", "linear_probe"].difference.mean == 0


def test_a_seed_without_one_of_the_settings_counts_nowhere() -> None:
    document, runs = tuned_study()
    gone = next(r for r in document["plan"] if r["setting"] == "tuned" and r["strategy"] == "full")["run_id"]
    found = Analysis(join(document, [r for r in runs if r["tags"].get(Tag.RUN_ID) != gone]), "s")
    gains = {(g.cell, g.strategy): g.difference.n for g in found.gains}
    assert gains["similar-small", "full"] == len(SEEDS) - 1 and gains["similar-large", "full"] == len(SEEDS)


def test_searches_are_told_with_their_trials(study: Study) -> None:
    searches = Analysis(study, "s").searches
    assert len(searches) == 4 * 4, "conditions x strategies"
    first = searches[0]
    assert first.count("finished") == 3 and first.count("pruned") == 1
    assert best_so_far([first]) == [0.5, 0.7, 0.7, 0.7]
    assert first.chosen == {"full.lr": 0.02, "l2_sp.alpha": 0.1} and first.default == 0.5


def test_the_report_shows_tuned_and_untuned_side_by_side(study: Study, tmp_path: Path) -> None:
    folder = write_study(study, "tuned", tmp_path)
    text = (folder / "report.md").read_text()
    assert "## Default hyperparameters and fair tuning" in text and "every strategy got 4 trials" in text
    assert (
        "each trial the mean over 2 splits" in text and "hyperparameters tuned on validation images" in text
    )
    assert {"tuning.png", "history.png"} <= {path.name for path in (folder / "figures").iterdir()}
    section = text.split("## Default hyperparameters")[1]
    (line,) = [
        x
        for x in section.splitlines()
        if x.startswith("| dissimilar, large | `scratch` | ") and x.count("|") == 9
    ]
    assert line.count("contradicted") == 1
    first = text.split("## Verdicts")[0]
    assert "tuning has changed" in first and re.search(
        r"from supported \(regret .*\) to contradicted \(regret", first
    )
    assert "| `full` | `l2_sp.alpha` | 10 % | 4 |" in text


def test_a_study_that_does_not_tune_says_nothing_of_it(tmp_path: Path) -> None:
    document = samples.document()
    text = (
        write_study(join(document, samples.all_stored(document)), "s", tmp_path) / "report.md"
    ).read_text()
    assert "fair tuning" not in text and "hyperparameters fixed beforehand" in text

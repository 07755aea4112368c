"""What predictions of runs add to a report, and that no more of them are read than are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.records.runs import RunRecord
from bench.core.schema import ARTIFACT_PREDICTIONS
from reports.analysis import predictions as reading
from reports.analysis.study import Analysis
from reports.analysis.test_images import look, wanted
from reports.sections import test_images as section
from tests.support import report_samples as samples
from tests.support.prediction_samples import keep_all

FINE = {
    "fine": {10: {"linear_probe": 0.80, "full": 0.60, "last_stages": 0.79, "scratch": 0.4, "bitfit": 0.5}}
}
RULE = {"similar-small": "linear_probe"}


def study_of(folder: Path, seeds: int = 3) -> tuple[dict[str, object], list[RunRecord]]:
    study = samples.document(FINE, seeds=range(seeds), rule=RULE)
    study["datasets"][0]["classes"] = ["ant", "bee *", "cat", "dog"]
    return study, keep_all(samples.all_stored(study, FINE, within=0.03), folder)


def analysis(folder: Path, seeds: int = 3) -> Analysis:
    return samples.analysis(*study_of(folder, seeds))


def test_both_intervals_hard_classes_and_calibration(tmp_path: Path) -> None:
    text = samples.text_of(section.section, analysis(tmp_path))
    rows = [line for line in text.splitlines() if line.startswith("| similar, small | `")]
    assert [line.split("|")[2].strip() for line in rows[:3]] == ["`last_stages`", "`full`", "`bitfit`"]
    assert all(line.count("[") == 2 and line.endswith("| 3 × 120 |") for line in rows[:3])
    assert "`bee *` | 30 |" in text and "(`linear_probe`) |" in text
    assert "`cat` (" in text, "bees are taken for cats"
    assert "| similar, small | `linear_probe` | " in text.split("Confidence against")[1]


def test_the_numbers_are_those_of_the_predictions(tmp_path: Path) -> None:
    study = analysis(tmp_path)
    found = look(study.study, study.rows, study.cells)
    by = {(c.strategy): c for c in study.cells[0].comparisons}
    for one in found.differences:
        assert one.found.mean == pytest.approx(by[one.strategy].mean)
        assert one.found.over_both[0] <= one.found.over_seeds[0] == pytest.approx(by[one.strategy].own_low)
    assert found.read == 4 * 3 and not found.left_out
    hard = found.classes[0]
    assert hard.images == 30 and hard.taken_for == ((hard.label + 1) % 4, pytest.approx(1 - hard.best))


def test_only_what_is_shown_is_read_and_what_is_left_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = analysis(tmp_path)
    asked: list[str] = []
    read_all = reading.read_all
    monkeypatch.setattr(
        reading, "read_all", lambda uri, runs: asked.extend(r.name for r in runs) or read_all(uri, runs)
    )
    samples.text_of(section.section, study)
    assert len(asked) == 12 and not any("scratch" in name for name in asked), "the fourth alternative"
    monkeypatch.setattr("reports.analysis.test_images.MOST", 7)
    few = wanted(study.study, study.rows, study.cells, most=7)
    assert (
        [strategy for _, strategy in few.pairs] == ["last_stages"]
        and few.left_out == 2
        and len(few.rows) == 6
    )


def test_without_predictions_there_is_no_section(tmp_path: Path) -> None:
    study = samples.document()
    assert section.section(samples.analysis(study)) == []
    assert section.section(samples.analysis(study, [])) == []


def test_a_damaged_file_is_said_and_its_seed_left_out(tmp_path: Path) -> None:
    study, runs = study_of(tmp_path)
    (probe,) = (run for run in runs if run.name == "fine-10-tiny-linear_probe-1")
    (Path(probe.artifact_uri) / ARTIFACT_PREDICTIONS).write_bytes(b"cut")
    text = samples.text_of(section.section, samples.analysis(study, runs))
    assert "could not be read" in text and "| 2 × 120 |" in text


def test_one_seed_gets_mcnemars_test(tmp_path: Path) -> None:
    text = samples.text_of(section.section, analysis(tmp_path, seeds=1))
    rows = [line for line in text.splitlines() if line.startswith("| similar, small | `full`")]
    assert "p, McNemar" in text and rows[0].count("–") == 2 and rows[0].endswith("| .011 |")
    assert "says nothing of other seeds" in text


def test_runs_on_another_test_set_are_not_paired(tmp_path: Path) -> None:
    from dataclasses import replace

    from reports.analysis.test_images import difference

    study = analysis(tmp_path)
    found = look(study.study, study.rows, study.cells)
    rows = [row for row in study.rows if row["strategy"] in ("linear_probe", "full")]
    kept = reading.read(study.study, rows)
    pairs = [(row, kept[row["mlflow_run_id"] or ""]) for row in rows]
    other = [
        (row, replace(one, test_set="b") if row["seed"] == 2 and row["strategy"] == "full" else one)  # type: ignore[type-var]
        for row, one in pairs
    ]
    assert len(found.differences) == 3
    one = difference(study.cells[0], "full", "linear_probe", other)  # type: ignore[arg-type]
    assert one and one.found.seeds == 2 and np.isfinite(one.found.over_both).all()

"""The answer page, from made-up studies of many datasets with a planted truth, and its command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.advice import gathering
from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.records.study import StudyRecord
from bench.core.schema import Measure
from reports.analysis.rows import StoredStudy
from reports.answer import page
from reports.answer.overview import Overview
from tests.support import simulated_evidence as simulated


def made(**options: object) -> StoredStudy:
    document, rows = simulated.study(simulated.PLANTED, **options)  # type: ignore[arg-type]
    return StoredStudy(document, rows, [], [])


def test_the_page_says_where_the_rule_fails_and_what_to_do_instead(tmp_path: Path) -> None:
    page.write(made(datasets=10, noise=0.002), tmp_path)
    text = (tmp_path / "answer.md").read_text()
    assert "On 10 datasets and 1 network (360 runs)" in text
    assert "**similar, small** on `net`: ✓ supported." in text
    assert (
        "**dissimilar, large** on `net`: ✗ contradicted. The rule's `scratch` loses more than the margin on 5 of 5"
        in text
    )
    assert "| similar, large | `net` | `l2_sp` | 0.0 |" in text
    assert "a gain that is shown" in text and "How good is the advice?" in text
    for figure in ("datasets", "alternatives"):
        assert (tmp_path / "figures" / f"{figure}.png").stat().st_size > 5000
    html = (tmp_path / "answer.html").read_text()
    assert html.count("data:image/png;base64,") == text.count("](figures/") and "http://" not in html


def test_the_slope_along_the_distance_is_found(tmp_path: Path) -> None:
    """Planted: every unit of BatchNorm distance adds 10 points to fine-tuning over the probe."""
    study = made(datasets=8, sizes=(10,), noise=0.0)
    rows = []
    for row in study.rows:
        distance = 0.1 * int(row["dataset"][1:])
        gain = 0.1 * distance if row["strategy"] == "full" else 0.0
        rows.append(row | {"test_accuracy": 0.5 + gain})  # type: ignore[typeddict-unknown-key]
    for d, entry in enumerate(study.document.datasets):
        entry.measures[0].values[Measure.BATCH_NORM] = 0.1 * d  # type: ignore[index]
    found = Overview(StoredStudy(study.document, rows, [], []))  # type: ignore[arg-type]
    assert [round(one.distance or 0, 3) for one in found.transfers] == [round(0.1 * d, 3) for d in range(8)]
    page.write(found.study, tmp_path)
    assert (
        "| `net` | 10 | 8 | +3.5 [+1.5, +5.5] | +10.0 [+10.0, +10.0] |"
        in (tmp_path / "answer.md").read_text()
    )
    assert (tmp_path / "figures" / "similarity.png").exists()


def test_what_tuning_changes_is_told_of_cells_that_were_run_with_default_hyperparameters_as_a_whole(
    tmp_path: Path,
) -> None:
    """Where a search keeps the defaults one run is both. If only those have default runs, nothing can be said."""
    study = made(datasets=6, sizes=(10,), noise=0.0)
    tune = {"trials": 2, "sampler": "random", "search": ["*lr"]}
    document = StudyRecord.from_json(study.document.to_json() | {"tune": tune})
    better = [row | {"setting": "tuned", "test_accuracy": row["test_accuracy"] + 0.05} for row in study.rows]  # type: ignore
    kept = [row for row in study.rows if row["dataset"] in ("d0", "d1")]
    some = Overview(StoredStudy(document, [*better, *kept], [], []))  # type: ignore[list-item]
    assert not some.untuned and not any(some.gains.values())
    whole = Overview(StoredStudy(document, [*better, *study.rows], [], []))  # type: ignore[list-item]
    found = whole.gains["net"]
    assert {gain.difference.n for gain in found} == {3}
    assert all(gain.difference.mean == pytest.approx(0.05) for gain in found) and len(whole.untuned) == 2
    page.write(whole.study, tmp_path)
    text = (tmp_path / "answer.md").read_text()
    assert (
        "With default hyperparameters the verdicts over datasets would be the same (similar, small on `net`"
        in text
    )


def test_an_unfinished_study_has_a_page_of_what_there_is(tmp_path: Path) -> None:
    study = made(datasets=4)
    kept = [row for row in study.rows if (row["dataset"], row["strategy"]) != ("d0", "linear_probe")]
    page.write(StoredStudy(study.document, kept, [], []), tmp_path)
    text = (tmp_path / "answer.md").read_text()
    assert "| similar, small | `net` | `linear_probe` |" in text and "0 of 1 [" in text


def test_two_datasets_are_no_sample(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has results on 2 datasets; what holds over datasets takes 3"):
        page.write(made(datasets=2), tmp_path)


def test_the_command_reads_a_store_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(uri).search_experiments()
    simulated.store(uri, simulated.study(simulated.PLANTED, datasets=4, sizes=(10,), seeds=2), tmp_path / "a")
    call("answer", "made", "--store", uri, "--out", "of-store")
    call("export", "made", "--store", uri, "--out", "made.parquet", "--compact")
    call("answer", "made.parquet", "--out", "of-file")
    one, other = ((tmp_path / folder / "answer.md").read_text() for folder in ("of-store", "of-file"))
    assert one == other and "On 4 datasets" in one
    monkeypatch.setattr(gathering, "SHIPPED", tmp_path / "none")
    with pytest.raises(UserError, match="the package holds no evidence"):
        call("answer")
    with pytest.raises(UserError, match="nothing"):
        call("answer", "nothing", "--store", uri)


def call(*arguments: str) -> str:
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False).stdout

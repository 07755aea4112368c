"""A study goes into one file and from there into another store, where its runs count as done."""

from __future__ import annotations

import json
import math
import platform
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reports
from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Purpose, Tag
from bench.storage import locks
from bench.tracking import experiment, store
from bench.tracking.exchange import file, importing
from bench.tracking.exchange.exporting import PRIVATE, collect, export, public_command
from bench.tracking.exchange.importing import import_content, import_file
from bench.tracking.store import outcome
from tests.support.commands import bench
from tests.support.tuned_study import STUDY

SILENT: dict[str, Any] = {"say": lambda text: None, "progress": lambda done, total: None}


def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def stored(address: str, purpose: str) -> list[RunRecord]:
    return store.read_runs(address, "tuned", tagged={Tag.PURPOSE: [purpose]})


@pytest.fixture(scope="module")
def done(tuned_study: Path) -> Path:
    """A tuned study that has run, with its report, so that its ledger has looks."""
    return tuned_study


@pytest.fixture(scope="module")
def exported(done: Path) -> Path:
    result = bench(done, "export", "tuned", "--predictions")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("tuned.parquet: 6 runs, 1 searches, 4 trials, ")
    return done / "tuned.parquet"


def test_an_imported_study_is_done_and_has_the_same_report(
    done: Path, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "tuned.yaml").write_text(STUDY)
    result = bench(tmp_path, "import", str(exported))
    assert result.returncode == 0 and "11 runs, searches and trials added, 0 were there" in result.stdout
    plan = json.loads(bench(tmp_path, "plan", "tuned.yaml", "--json").stdout)
    assert plan["missing"] == 0 and plan["done"] == len(plan["runs"]) == 8
    one, other = (reports.load("tuned", uri(f), predictions=True) for f in (done, tmp_path))
    columns = [c for c in one.columns if c not in ("predictions", "mlflow_run_id", "start_time", "end_time")]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    for mine, theirs in zip(one["predictions"], other["predictions"], strict=True):
        assert mine.test_set == theirs.test_set and (mine.log_probability == theirs.log_probability).all()
    assert outcome.ledger(stored(uri(done), Purpose.STUDY)) == outcome.ledger(
        stored(uri(tmp_path), Purpose.STUDY)
    )
    texts = [
        (reports.write("tuned", uri(f), tmp_path / f.name) / "report.md").read_text()
        for f in (done, tmp_path)
    ]
    assert without_links(texts[0]) == without_links(texts[1])
    again = bench(tmp_path, "import", str(exported))
    assert "0 runs, searches and trials added, 11 were there" in again.stdout


def without_links(text: str) -> list[str]:
    """What a report says but for the store that it was read from."""
    return [line for line in text.splitlines() if "mlflow" not in line.lower()]


@pytest.mark.parametrize(
    ("command", "public"),
    [
        ("bench run tuned.yaml --workers 2", "bench run tuned.yaml --workers 2"),
        ("bench run /home/me/work/tuned.yaml --store sqlite:////home/me/m.db", "bench run tuned.yaml"),
        ("bench run t.yaml --store=http://host:5000 --set 'seeds=3'", "bench run t.yaml --set seeds=3"),
        ("", ""),
    ],
)
def test_the_command_stays_without_folders_and_store(command: str, public: str) -> None:
    assert public_command(command) == public


def test_trials_are_nested_under_their_search_again(exported: Path, tmp_path: Path) -> None:
    import_file(uri(tmp_path), exported, **SILENT)
    (search,) = stored(uri(tmp_path), Purpose.TUNING)
    trials = stored(uri(tmp_path), Purpose.TRIAL)
    assert len(trials) == 4 and {run.tags[Tag.PARENT] for run in trials} == {search.mlflow_run_id}
    originals = {run.mlflow_run_id for run in file.read(exported).runs}
    assert search.mlflow_run_id not in originals and search.tags[Tag.IMPORTED] == "tuned.parquet"


def test_the_file_tells_nothing_of_machine_and_user(done: Path, exported: Path) -> None:
    kept = file.read(exported)
    assert not {key for run in kept.runs for key in run.tags} & PRIVATE
    text = json.dumps(kept.study.to_json()) + "".join(map(repr, kept.runs))
    assert str(done) not in text and platform.node() not in {*text.split('"'), *text.split("'")}


def test_any_tool_reads_the_file(exported: Path) -> None:
    frame = pd.read_parquet(exported)
    final = frame[frame["tag.purpose"] == "final"]
    assert len(final) == 6 and final[f"metric.{Metric.TEST_ACCURACY}"].dtype == "float64"
    assert frame["start_time"].notna().all() and final["predictions"].notna().all()


def test_an_import_that_is_cut_off_leaves_nothing_that_counts_and_goes_on(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file.read(exported)
    calls = 0
    original = importing._Writing._metrics

    def dies(self: Any, run_id: str, run: RunRecord) -> None:
        nonlocal calls
        calls += 1
        if calls == 8:  # in the midst of a planned run, after the search and its trials
            raise KeyboardInterrupt
        original(self, run_id, run)

    with monkeypatch.context() as patch:
        patch.setattr(importing._Writing, "_metrics", dies)
        with pytest.raises(KeyboardInterrupt):
            import_content(uri(tmp_path), content, "f")
    half = [run for run in stored(uri(tmp_path), Purpose.FINAL)]
    assert [run.has_result for run in half].count(True) == 2 and len(half) == 3
    done = import_content(uri(tmp_path), content, "f")
    assert (done.added, done.there) == (4, 7)
    counted = outcome.finals(stored(uri(tmp_path), Purpose.FINAL))
    assert len(counted) == 6 and all(run.has_result for run in counted.values())


def test_what_is_there_stays_and_what_is_missing_is_filled(
    done: Path, exported: Path, tmp_path: Path
) -> None:
    """Two stores that each have a part: the union, and no run twice."""
    content = file.read(exported)
    finals = [run for run in content.runs if run.purpose == Purpose.FINAL]
    part = replace(content, runs=[run for run in content.runs if run not in finals[3:]])
    rest = replace(content, runs=[run for run in content.runs if run not in finals[:3]], predictions={})
    import_content(uri(tmp_path), part, "part")
    second = import_content(uri(tmp_path), rest, "rest")
    assert (second.added, second.there) == (3, 5)
    runs = stored(uri(tmp_path), Purpose.FINAL)
    assert sorted(run.tags[Tag.IMPORTED] for run in runs) == ["part"] * 3 + ["rest"] * 3
    with_them = [run for run in runs if Tag.TEST_SET in run.tags]
    assert {run.tags[Tag.IMPORTED] for run in with_them} == {"part"}, (
        "no promise of predictions that are not there"
    )
    loaded = reports.load("tuned", uri(tmp_path), predictions=True)
    assert loaded[loaded["predictions"].notna()]["run_id"].nunique() == 3


def test_results_alone_are_smaller_and_the_same(done: Path, exported: Path, tmp_path: Path) -> None:
    result = bench(done, "export", "tuned", "--compact", "--out", str(tmp_path / "small.parquet"))
    assert result.returncode == 0, result.stderr
    whole, small = file.read(exported), file.read(tmp_path / "small.parquet")
    assert (tmp_path / "small.parquet").stat().st_size < 0.6 * exported.stat().st_size
    assert [run.purpose for run in small.runs] == [run.purpose for run in whole.runs]
    for one, other in zip(whole.runs, small.runs, strict=True):
        assert one.metrics.get(Metric.TEST_ACCURACY) == other.metrics.get(Metric.TEST_ACCURACY)
        assert one.metrics.get(Metric.VAL_ACCURACY) == other.metrics.get(Metric.VAL_ACCURACY)
        assert one.metrics.get(Metric.TRAIN_SECONDS, 1.0) == pytest.approx(
            other.metrics.get(Metric.TRAIN_SECONDS, 1.0), rel=5e-3
        )
    import_content(uri(tmp_path), small, "small")
    columns = ["strategy", "seed", "setting", "status", "test_accuracy", "n_per_class"]
    pd.testing.assert_frame_equal(
        reports.load("tuned", uri(tmp_path))[columns], reports.load("tuned", uri(done))[columns]
    )
    (search,) = stored(uri(tmp_path), Purpose.TUNING)
    assert {run.tags[Tag.PARENT] for run in stored(uri(tmp_path), Purpose.TRIAL)} == {search.mlflow_run_id}
    text = (reports.write("tuned", uri(tmp_path), tmp_path) / "report.md").read_text()
    assert "## Verdicts" in text and "### The searches" in text


def test_a_study_that_is_being_run_is_not_written_to(exported: Path, tmp_path: Path) -> None:
    with (
        locks.exclusive(uri(tmp_path), "tuned"),
        pytest.raises(UserError, match="being run by another process"),
    ):
        import_file(uri(tmp_path), exported, **SILENT)
    assert not (tmp_path / "mlflow.db").exists()


def test_trials_without_their_search_are_left_out(exported: Path, tmp_path: Path) -> None:
    content = file.read(exported)
    orphans = replace(content, runs=[run for run in content.runs if run.purpose != Purpose.TUNING])
    import_content(uri(tmp_path), orphans, "f")
    assert stored(uri(tmp_path), Purpose.TRIAL) == []


def test_values_that_are_no_numbers_and_absent_ones_stay_apart(exported: Path, tmp_path: Path) -> None:
    content = file.read(exported)
    one, other, *_ = [run for run in content.runs if run.purpose == Purpose.FINAL]
    odd = replace(one, metrics={"a": math.nan, "b": math.inf, "c": 1e-300}, start_time=None)
    file.write(tmp_path / "odd.parquet", replace(content, runs=[odd, other], predictions={}))
    first, second = file.read(tmp_path / "odd.parquet").runs
    assert math.isnan(first.metrics.pop("a")) and first.metrics == {"b": math.inf, "c": 1e-300}
    assert first.start_time is None and second == other


def test_unfinished_runs_stay_where_they_are(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "copy")
    address = uri(tmp_path / "copy")
    first, *_ = stored(address, Purpose.FINAL)
    from bench.tracking.store.client import MlflowClient

    MlflowClient(address).set_tag(first.mlflow_run_id, Tag.STATUS, "failed")
    assert collect(address, "tuned").count(Purpose.FINAL) == 5


def test_a_study_of_which_nothing_has_finished_is_refused(done: Path, tmp_path: Path) -> None:
    address = uri(tmp_path)
    number = experiment.open_store(address, "tuned")
    experiment.write_study(address, number, store.read_study(uri(done), "tuned"))
    with pytest.raises(UserError, match="no run of it has finished"):
        export(address, "tuned", tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def damaged(path: Path, exported: Path, how: str) -> None:
    content = exported.read_bytes()
    if how == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif how == "of another program":
        pq.write_table(pa.table({"a": [1]}), path)
    elif how == "no parquet":
        path.write_text("a,b\n1,2\n")
    elif how == "later":
        table = pq.read_table(exported)
        pq.write_table(
            table.replace_schema_metadata({**table.schema.metadata, file.VERSION_KEY: b"99"}), path
        )
    elif how == "without a column":
        pq.write_table(pq.read_table(exported).drop_columns(["start_time"]), path)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("cut off", "damaged"),
        ("of another program", "not an exported study"),
        ("no parquet", "not an exported study"),
        ("later", "later version"),
        ("without a column", "damaged"),
        ("absent", "No such file|not an exported study"),
    ],
)
def test_other_files_are_refused_before_a_store_is_made(
    how: str, says: str, exported: Path, tmp_path: Path
) -> None:
    path = tmp_path / "f.parquet"
    damaged(path, exported, how)
    with pytest.raises(UserError, match=says) as refused:
        import_file(uri(tmp_path), path, **SILENT)
    assert "f.parquet" in str(refused.value) and not (tmp_path / "mlflow.db").exists()

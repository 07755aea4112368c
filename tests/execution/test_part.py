"""A part of a study is executed, and the rest is left for later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import reports
from bench.core.errors import UserError
from bench.execution import state
from bench.execution.part import Part
from bench.planning import load
from bench.planning import plan as planning
from tests.support.commands import bench
from tests.support.tuned_study import STUDY as TUNED


def test_a_part_is_run_and_the_rest_stays_missing(tiny_study: Path) -> None:
    folder = tiny_study.parent
    only = ["--only", "strategy=linear*", "--only", "n_per_class=5", "--only", "seed=1"]
    done = bench(folder, "run", "tiny.yaml", "--no-report", "--workers", "1", *only)
    assert done.returncode == 0 and "this call: 2 finished" in done.stdout, done.stdout + done.stderr
    assert "only        2 of the missing runs and 0 searches" in done.stdout
    rows = reports.rows("tiny", f"sqlite:///{folder / 'mlflow.db'}")
    finished = [row for row in rows if row["status"] == "finished"]
    assert {(row["strategy"], row["n_per_class"], row["seed"]) for row in finished} == {
        ("linear_probe", 5, 1)
    }
    assert len(rows) == 12 and len(finished) == 2, "the study is planned whole"
    again = bench(folder, "run", "tiny.yaml", "--no-report", "--workers", "2", *only)
    assert again.returncode == 0 and "this call" not in again.stdout


def test_searches_go_with_the_runs_that_wait_for_them(tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text(TUNED.replace("seeds: 2", "seeds: 3"))
    plan = planning.make(load.load(tmp_path / "tuned.yaml"), tmp_path / "tuned.yaml", tmp_path)
    now = state.read(plan, f"sqlite:///{tmp_path / 'mlflow.db'}")
    part = Part.parse(["seed=2"]).of(now)
    assert len(part.searches) == 1 and {run.spec.seed for run in [*part.missing, *part.waiting]} == {2}
    untuned = Part.parse(["setting=default"]).of(now)
    assert not untuned.searches and not untuned.waiting and untuned.missing
    either = Part.parse(["strategy=logreg", "strategy=full*"]).of(now)
    assert (either.missing, either.waiting) == (now.missing, now.waiting), "one of several patterns is enough"


def test_a_run_that_is_tuned_and_default_at_once_goes_with_either(tmp_path: Path) -> None:
    """Where a search keeps the defaults, the run with them is the tuned one, too, and is listed once."""
    (tmp_path / "tuned.yaml").write_text(TUNED)
    plan = planning.make(load.load(tmp_path / "tuned.yaml"), tmp_path / "tuned.yaml", tmp_path)
    kept = {
        key: {one.name: one.default for one in run.tuning.space}
        for key, run in plan.tunings.items()
        if run.tuning
    }
    plan = plan.with_choices(kept)
    now = replace(state.read(plan, f"sqlite:///{tmp_path / 'mlflow.db'}"), plan=plan, waiting=[], searches=[])
    for setting in ("tuned", "default"):
        own = {run.run_id for run in plan.runs if run.row().setting == setting}
        assert own and {run.run_id for run in Part.parse([f"setting={setting}"]).of(now).missing} == own


@pytest.mark.parametrize(
    ("word", "says"),
    [("tiny", "KEY=PATTERN"), ("datset=x", r"did you mean dataset"), ("=x", "KEY=PATTERN")],
)
def test_what_names_nothing_is_refused(word: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Part.parse([word])


def test_a_pattern_that_no_run_matches_is_refused_with_what_there_is(tiny_study: Path) -> None:
    told = bench(tiny_study.parent, "run", "tiny.yaml", "--only", "strategy=linear_prob")
    assert told.returncode == 2 and "full + head_x10, linear_probe" in told.stderr.replace("\n", " ")
    assert not (tiny_study.parent / "mlflow.db").exists()

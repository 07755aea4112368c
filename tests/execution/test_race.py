"""Seeds until decided, driven to the end: which runs are made, what the ledger holds, and that kills change nothing.

The store, the plan, the driver's loop and the looks are real; runs are given their accuracies instead of being trained.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import reports
from bench.core.errors import UserError
from bench.core.records.looks import Ledger, LookRecord
from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Purpose, Status, Tag
from bench.core.spec import RunSpec
from bench.execution import worker
from bench.execution.race import narrowed
from bench.planning.plan import Plan
from bench.storage.places import Places
from bench.tracking import ledger, store
from bench.tracking.plain import Tracking
from bench.tracking.runs import Tracker
from bench.tracking.store import outcome
from reports.analysis.rows import join, read
from reports.analysis.stats import ALPHA
from reports.analysis.study import Analysis
from tests.support.commands import bench
from tests.support.given_accuracies import (
    EFFECTS,
    STUDY,
    call,
    done,
    give_accuracies,
    looks,
    made,
    plainly,
    run,
    uri,
)


class Interrupted(Exception):
    """Stands for a process that ends at once: nothing after it is executed."""


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    give_accuracies(monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        give_accuracies(patch)
        folder = tmp_path_factory.mktemp("undisturbed")
        (folder / "said.txt").write_text("\n".join(call(folder)))
        yield folder


def test_only_what_is_open_gets_more_seeds(undisturbed: Path) -> None:
    seeds: dict[tuple[int, str], int] = {}
    for n, strategy, _ in done(undisturbed):
        seeds[n, strategy] = seeds.get((n, strategy), 0) + 1
    large = {(60, strategy): 3 for strategy in EFFECTS[60]}
    assert seeds == large | {(5, "full"): 5, (5, "last_stages"): 5, (5, "norm_only"): 3}


def test_the_ledger_has_every_look_and_each_is_told_in_a_line(undisturbed: Path) -> None:
    found = looks(undisturbed)
    assert [(r.cell, len(r.seeds)) for r in sorted(found, key=lambda r: (r.cell, r.seeds))] == [
        ("similar-large", 3),
        ("similar-small", 3),
        ("similar-small", 4),
        ("similar-small", 5),
    ]
    assert all(r.when.endswith("+00:00") for r in found)
    said = (undisturbed / "said.txt").read_text()
    assert "look at similar-large after 3 seeds (level 0.9 %): contradicted" in said
    assert (
        "look at similar-small after 3 seeds (level 0.9 %): undecided; not better, no more seeds: norm_only"
        in said
    )
    assert "up to 4 seeds go full and last_stages" in said


def test_the_same_command_again_does_nothing(undisturbed: Path) -> None:
    before = done(undisturbed), looks(undisturbed)
    call(undisturbed)
    assert (done(undisturbed), looks(undisturbed)) == before


def test_the_plan_says_where_the_race_stands(undisturbed: Path, tmp_path: Path) -> None:
    shown = bench(undisturbed, "plan", "raced.yaml").stdout
    assert "until decided, at most 5; looks after 3, 4, 5" in shown
    assert "similar-large: contradicted, no more seeds" in shown and "22 of 22 runs done" in shown
    made(tmp_path)
    fresh = bench(tmp_path, "plan", "raced.yaml").stdout
    assert "similar-small: not looked at yet, next look after 3" in fresh and "0 of 18 runs done" in fresh


@pytest.mark.parametrize("at", [18, 20, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 7, 19, 21))])
def test_killed_after_so_many_runs_the_same_decisions_are_made(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    made_runs: list[str] = []

    def until_killed(*args: Any) -> Result:
        if len(made_runs) == at:
            raise KeyboardInterrupt
        made_runs.append("")
        return run(*args)

    monkeypatch.setattr(worker, "run", until_killed)
    call(tmp_path)
    monkeypatch.setattr(worker, "run", run)
    call(tmp_path)
    assert done(tmp_path) == done(undisturbed) and plainly(looks(tmp_path)) == plainly(looks(undisturbed))


@pytest.mark.parametrize("entered", [0, 1])
def test_killed_while_a_look_is_entered(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entered: int
) -> None:
    """Two cells are looked at at once: neither, or one of them, is in the ledger when the process ends."""
    enter = ledger.enter

    def partly(where: str, study: str, found: list[LookRecord], planned: int = 0) -> None:
        enter(where, study, found[:entered], planned)
        raise Interrupted

    monkeypatch.setattr(ledger, "enter", partly)
    with pytest.raises(Interrupted):
        call(tmp_path)
    monkeypatch.setattr(ledger, "enter", enter)
    call(tmp_path)
    assert done(tmp_path) == done(undisturbed) and plainly(looks(tmp_path)) == plainly(looks(undisturbed))


def test_the_report_shows_the_race(undisturbed: Path, tmp_path: Path) -> None:
    text = (reports.write("raced", uri(undisturbed), tmp_path) / "report.md").read_text()
    assert "## Looks" in text and "figures/looks.png" in text
    assert "22 runs instead of the 30 of 5 seeds for every strategy" in text
    assert "add up to at most 2.5 %" in text
    assert "contradicted" in text and "n counts seeds" in text


def test_a_run_that_failed_holds_its_cell_until_it_is_repaired_or_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(emit: Any, spec: RunSpec, row: PlannedRow, places: Places, tracking: Tracking) -> Result:
        if (row.n_per_class, row.strategy, row.seed) != (5, "last_stages", 1):
            return run(emit, spec, row, places, tracking)
        log = Tracker(tracking.uri, tracking.experiment_id).start(row, spec, False)
        log.finish(Status.FAILED, {}, "out of memory")
        return Result(Status.FAILED, "out of memory")

    monkeypatch.setattr(worker, "run", failing)
    call(tmp_path)
    assert {r.cell for r in looks(tmp_path)} == {"similar-large"}, "the other cell goes on"
    assert max(seed for n, _, seed in done(tmp_path) if n == 5) == 2
    call(tmp_path, without_failed=True)
    assert {len(r.seeds) for r in looks(tmp_path) if r.cell == "similar-small"} == {3, 4, 5}
    assert all(len(r.without) == 1 for r in looks(tmp_path) if r.cell == "similar-small")


def test_two_who_enter_the_same_look_at_once_enter_one(tmp_path: Path) -> None:
    call(tmp_path, FIXED)
    records = [r for one in Analysis(read("raced", uri(tmp_path)), "raced").looks for r in one.fresh]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: ledger.enter(uri(tmp_path), "raced", records), range(2)))
    assert plainly(looks(tmp_path)) == plainly(records)


def test_hours_stop_it_at_a_look(tmp_path: Path) -> None:
    """18 runs of 2 seconds are more than .005 hours."""
    text = STUDY.replace("at_most: 5", "at_most: 5, hours: 0.005")
    call(tmp_path, text)
    assert {seed for *_, seed in done(tmp_path)} == {0, 1, 2}
    assert bench(tmp_path, "plan", "raced.yaml").stdout.count("no more seeds") == 2


def test_raised_beyond_its_end_it_goes_on_and_says_what_that_costs(tmp_path: Path) -> None:
    short = STUDY.replace("at_most: 5, looks: [3, 4, 5]", "at_most: 4")
    call(tmp_path, short)
    assert sum(r.level for r in looks(tmp_path) if r.cell == "similar-small") == pytest.approx(0.025)
    call(tmp_path)
    assert max(seed for *_, seed in done(tmp_path)) == 4
    text = (reports.write("raced", uri(tmp_path), tmp_path) / "report.md").read_text()
    assert "Looked at beyond the plan" in text and "similar, small 5.0 %" in text
    assert "similar, large" not in text.partition("up to: ")[2].partition(", instead")[0]


def test_in_a_tuned_study_only_tuned_runs_are_raced(tmp_path: Path) -> None:
    """Runs with default hyperparameters are made of the first look's seeds, or where they are also the tuned ones."""
    text = STUDY.replace("name: raced", "name: raced\ntune: {trials: 3, search: ['*lr']}")
    planned = made(tmp_path, text)
    chosen = {
        key: {
            s.name: s.default * (1 if "norm_only" in one.spec.strategy.label else 2) for s in one.tuning.space
        }
        for key, one in planned.tunings.items()
        if one.tuning
    }
    planned = planned.with_choices(chosen)
    runs = [
        RunRecord(
            str(i),
            "",
            "FINISHED",
            0,
            0,
            "",
            {**tags, Tag.STATUS: Status.FINISHED},
            {},
            {Metric.TEST_ACCURACY: a},
        )
        for i, (tags, a) in enumerate(finished_rows(planned, seeds=3))
    ]
    wanted, _ = narrowed(planned, runs, Ledger())
    seeds = {
        (setting, strategy): 1 + max(r.spec.seed for r in own)
        for setting in ("default", "tuned")
        for strategy in EFFECTS[5]
        if (own := [r for r in wanted.runs if (r.setting, r.spec.strategy.label) == (setting, strategy)])
    }
    assert seeds == {
        ("default", "full"): 3, ("tuned", "full"): 4,
        ("default", "last_stages"): 3, ("tuned", "last_stages"): 4,
        ("default", "norm_only"): 4, ("tuned", "norm_only"): 4,
    }  # fmt: skip

    more = [*runs, *stray(planned, len(runs))]
    shown = Analysis(join(planned.document(), more), "raced").before
    assert [(cell.n_units, cell.level) for cell in shown] == [(3, ALPHA)] * 2, (
        "one sample, of a size fixed beforehand"
    )


def stray(planned: Plan, i: int) -> Iterator[RunRecord]:
    """Runs with default hyperparameters of a later seed, as of an earlier version."""
    for one in planned.runs:
        if one.spec.seed == 3 and one.setting == "default":
            tags = {Tag.RUN_ID: one.run_id, Tag.PURPOSE: Purpose.FINAL, Tag.STATUS: Status.FINISHED}
            yield RunRecord(
                f"{one.run_id} {i}", "", "FINISHED", 0, 0, "", tags, {}, {Metric.TEST_ACCURACY: 0.9}
            )


def finished_rows(planned: Plan, seeds: int) -> Iterator[tuple[dict[str, str], float]]:
    """Tags and accuracies, all undecided."""
    for run_ in planned.runs:
        if run_.spec.seed < seeds:
            noise = random.Random(run_.run_id).gauss(0, 0.05)
            yield {Tag.RUN_ID: run_.run_id, Tag.PURPOSE: Purpose.FINAL}, 0.5 + noise


FIXED = STUDY.replace("seeds: {until: decided, at_most: 5, looks: [3, 4, 5]}", "seeds: 3")


def test_a_fixed_study_is_provisional_until_its_end_and_its_report_takes_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count: list[str] = []

    def until_killed(*args: Any) -> Result:
        if len(count) == 10:
            raise KeyboardInterrupt
        count.append("")
        return run(*args)

    monkeypatch.setattr(worker, "run", until_killed)
    call(tmp_path, FIXED)
    text = (reports.write("raced", uri(tmp_path), tmp_path) / "report.md").read_text()
    assert "The rule is **provisional**" in text and "No verdict yet" in text and not looks(tmp_path)
    assert outcome.ledger(store.read_runs(uri(tmp_path), "raced")).planned == 3, "estimates were shown"
    monkeypatch.setattr(worker, "run", run)
    call(tmp_path, FIXED)
    assert not looks(tmp_path), "nobody has seen a verdict yet"
    reports.write("raced", uri(tmp_path), tmp_path, peek=True)
    assert not looks(tmp_path), "nor now"
    first = reports.write("raced", uri(tmp_path), tmp_path).joinpath("report.md").read_text()
    assert {(r.cell, len(r.seeds), round(r.level, 6)) for r in looks(tmp_path)} == {
        ("similar-small", 3, 0.025),
        ("similar-large", 3, 0.025),
    }
    assert reports.write("raced", uri(tmp_path), tmp_path).joinpath("report.md").read_text() == first
    assert len(looks(tmp_path)) == 2, "looking twice at the same is one look"


def test_a_verdict_that_cannot_be_entered_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(tmp_path, FIXED)

    def refused(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(ledger, "enter", refused)
    with pytest.raises(
        UserError, match=r"cannot be entered into the store \(read-only\).*bench report raced --peek"
    ):
        reports.write("raced", uri(tmp_path), tmp_path)
    assert not (tmp_path / "raced" / "report.md").exists()
    assert reports.write("raced", uri(tmp_path), tmp_path, peek=True)


def test_a_damaged_entry_is_no_missing_look(undisturbed: Path, tmp_path: Path) -> None:
    call(tmp_path, FIXED)
    reports.write("raced", uri(tmp_path), tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE tags SET value = '{}' WHERE key LIKE 'bench.look.%'")
    with pytest.raises(UserError, match=r"tag bench\.look\..* is no record of a look"):
        reports.write("raced", uri(tmp_path), tmp_path)

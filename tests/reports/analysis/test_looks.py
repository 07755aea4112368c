"""Looks: which are due, what is dropped, and what the ledger changes. Rows are those of samples with a race."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from bench.core.records.looks import LookRecord, RaceRecord
from bench.core.records.study import StudyRecord
from bench.core.schema import Metric, Status
from reports.analysis.levels import error_rate, levels
from reports.analysis.looks import Looks, look_at_study, out_of_time
from reports.analysis.stats import ALPHA
from reports.analysis.verdict import Verdict
from tests.support import report_samples as samples

LOOKS = (3, 5, 8)
CELL = "similar-small"
EFFECTS = {"linear_probe": 0.0, "full": 0.06, "last_stages": -0.09, "scratch": -0.5}


def study(seeds: int = 8, race: bool = True, **effects: float) -> tuple[StudyRecord, list[dict[str, Any]]]:
    """One cell; every run is over. effects: against the rule's pick, linear_probe."""
    given = EFFECTS | effects
    document = StudyRecord.from_json(
        samples.document({"fine": {10: dict.fromkeys(given, 0.0)}}, seeds=range(seeds))
    )
    document = replace(document, race=RaceRecord(LOOKS) if race else None)
    draw = random.Random(0)
    rows = [
        {
            **vars(planned),
            "status": Status.FINISHED,
            Metric.TEST_ACCURACY: round(0.6 + given[planned.strategy] + draw.gauss(0, 0.015), 3),
            Metric.TRAIN_SECONDS: 1.0,
            Metric.TOTAL_SECONDS: 1800.0,
        }
        for planned in document.plan
    ]
    return document, rows


def look(document: StudyRecord, rows: list[dict[str, Any]], ledger: Any = (), peek: bool = False) -> Looks:
    (found,) = look_at_study(document, rows, ledger, peek)
    return found


def until(rows: list[dict[str, Any]], seeds: int) -> list[dict[str, Any]]:
    """As if the runs of later seeds were not made yet."""
    return [row | ({} if row["seed"] < seeds else {"status": Status.MISSING}) for row in rows]


def test_a_look_waits_for_all_runs_of_its_seeds() -> None:
    document, rows = study()
    found = look(document, until(rows, 2))
    assert (found.taken, found.due, found.cell.verdict) == ([], 3, Verdict.PROVISIONAL)
    assert found.cell.level == pytest.approx(levels(LOOKS)[0]), (
        "estimates are at the level of the look to come"
    )
    one_missing = [
        row | ({"status": Status.RUNNING} if (row["seed"], row["strategy"]) == (2, "full") else {})
        for row in until(rows, 3)
    ]
    assert look(document, one_missing).due == 3
    assert [one.seeds for one in look(document, until(rows, 3)).taken] == [3]


@pytest.mark.parametrize("status", [Status.FAILED, Status.DIVERGED])
def test_a_look_does_not_wait_for_what_came_to_nothing(status: Status) -> None:
    document, rows = study()
    rows = [
        row | ({"status": status} if (row["seed"], row["strategy"]) == (1, "last_stages") else {})
        for row in until(rows, 3)
    ]
    found = look(document, rows)
    assert [one.seeds for one in found.taken] == [3]
    failed = [row["run_id"][:8] for row in rows if row["status"] == Status.FAILED]
    assert list(found.fresh[0].without) == failed


def test_dropped_alternatives_need_no_more_runs() -> None:
    document, rows = study(full=0.002, last_stages=-0.3)
    assert set(look(document, until(rows, 3)).dropped) == {"last_stages", "scratch"}
    rest = [r for r in until(rows, 5) if r["seed"] < 3 or r["strategy"] not in ("last_stages", "scratch")]
    found = look(document, rest)
    assert [one.seeds for one in found.taken] == [3, 5] and found.due == 8
    assert found.dropped_at == {"last_stages": 3, "scratch": 3}


def test_a_decided_cell_gets_no_more_looks() -> None:
    document, rows = study(full=0.38)
    found = look(document, rows)
    assert [one.seeds for one in found.taken] == [3] and found.due is None
    assert (found.cell.verdict, found.cell.seeds, found.cell.n_units) == (Verdict.CONTRADICTED, 3, 3)
    assert found.spent == pytest.approx(levels(LOOKS)[0])


def test_the_last_look_uses_up_what_is_left() -> None:
    document, rows = study(full=0.008)
    found = look(document, rows)
    assert [one.seeds for one in found.taken] == [3, 5, 8] and found.cell.verdict == Verdict.UNDECIDED
    assert found.spent == pytest.approx(ALPHA) and found.due is None


def test_taken_one_by_one_or_all_at_once_they_say_the_same() -> None:
    """As after a kill: whoever reads the store later finds the looks that were taken."""
    document, rows = study(full=0.008)
    ledger: list[LookRecord] = []
    for seeds in (1, 3, 4, 5, 6, 8):
        found = look(document, until(rows, seeds), ledger)
        ledger += [LookRecord.from_json(record.to_json()) for record in found.fresh]
    at_once = look(document, rows)
    assert [r.key for r in ledger] == [r.key for r in at_once.fresh]
    assert [r.level for r in ledger] == pytest.approx([r.level for r in at_once.fresh])
    assert found.cell == at_once.cell and not look(document, rows, ledger).fresh


def test_a_run_that_failed_and_was_repeated_changes_no_look_that_was_taken() -> None:
    document, rows = study(full=0.008)
    broken = [
        row | ({"status": Status.FAILED} if (row["seed"], row["strategy"]) == (1, "full") else {})
        for row in until(rows, 3)
    ]
    before = look(document, broken)
    after = look(document, until(rows, 3), before.fresh)
    assert after.cell.comparisons == before.cell.comparisons and not after.fresh
    assert look(document, until(rows, 3)).cell.comparisons != before.cell.comparisons


def test_a_fixed_number_of_seeds_is_looked_at_once_at_its_end() -> None:
    document, rows = study(seeds=5, race=False)
    assert look(document, until(rows, 4)).cell.verdict == Verdict.PROVISIONAL
    found = look(document, rows)
    assert [one.seeds for one in found.taken] == [5] and found.spent == pytest.approx(ALPHA)
    assert found.cell.level == pytest.approx(ALPHA) and not found.dropped
    assert look(document, rows, found.fresh).spent == pytest.approx(ALPHA), (
        "the same look again costs nothing"
    )


def test_extended_after_its_end_a_study_says_what_its_error_rate_is() -> None:
    document, rows = study(seeds=5, race=False)
    ledger = look(document, rows).fresh
    longer, more = study(seeds=8, race=False)
    under_way = look(longer, until(more, 6), ledger)
    assert under_way.cell.verdict == Verdict.PROVISIONAL and under_way.known == ledger
    found = look(longer, more, ledger)
    assert found.spent == pytest.approx(2 * ALPHA) and error_rate(found.spent) == pytest.approx(0.05)
    assert [one.seeds for one in found.taken] == [8]


@pytest.mark.parametrize("change", ["margin", "rule", "alternatives"])
def test_another_question_to_the_same_data_is_another_look(change: str) -> None:
    document, rows = study(seeds=5, race=False)
    ledger = look(document, rows).fresh
    matrix = document.matrix
    if change == "margin":
        document = replace(document, matrix=replace(matrix, margin=0.03))
    elif change == "rule":
        document = replace(document, matrix=replace(matrix, rule={CELL: "full"}))
    else:
        rows = [row for row in rows if row["strategy"] != "scratch"]
    assert look(document, rows, ledger).spent == pytest.approx(2 * ALPHA)


def test_another_recipe_is_other_data() -> None:
    document, rows = study(seeds=5, race=False)
    ledger = look(document, rows).fresh
    other = replace(document, train=replace(document.train, epochs=11))
    assert look(other, rows, ledger).spent == pytest.approx(ALPHA)


def test_a_peek_takes_no_look_but_shows_those_that_were_taken() -> None:
    document, rows = study(full=0.008)
    peeked = look(document, rows, peek=True)
    assert (peeked.taken, peeked.fresh, peeked.cell.verdict) == ([], [], Verdict.PROVISIONAL)
    first = look(document, until(rows, 3)).fresh
    again = look(document, rows, first, peek=True)
    assert [one.seeds for one in again.taken] == [3] and not again.fresh


def test_untested_says_nothing_and_uses_nothing_up() -> None:
    document, rows = study(race=False)
    document = replace(document, matrix=replace(document.matrix, rule={CELL: None}))
    found = look(document, rows)
    assert found.cell.verdict == Verdict.UNTESTED and found.spent == 0 and not found.fresh


def test_hours_end_a_race_at_a_look() -> None:
    document, rows = study(full=0.008)
    limited = replace(document, race=RaceRecord(LOOKS, hours=5))  # 12 runs of half an hour: 6 hours
    assert not out_of_time(limited, until(rows, 2), [look(limited, until(rows, 2))])
    assert out_of_time(limited, until(rows, 3), [look(limited, until(rows, 3))])


def test_a_record_travels_as_one_short_tag() -> None:
    record = LookRecord(CELL, "d" * 16, "q" * 16, tuple(range(40)), 0.01, "undecided", ("a" * 40,) * 8)
    assert LookRecord.from_json(record.to_json()) == record and len(record.to_json()) < 1000
    with pytest.raises((KeyError, TypeError, ValueError)):
        LookRecord.from_json(json.dumps({"cell": CELL}))

"""A search whose database is cut off before it can answer, again and again: the same trials as without."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.storages._rdb import storage as rdb

from bench.planning.searches import Budget
from bench.tracking.store import patience
from bench.tuning.engine import Search
from bench.tuning.storage import MADE
from tests.support.tuning_samples import make_tuning, open_search, work


@pytest.fixture
def every_second_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Every second transaction is committed, and its caller told that the server is gone. -> how many, so far."""
    monkeypatch.setattr(patience, "FIRST", 0.0)
    monkeypatch.setattr(rdb.random, "random", lambda: 0.0)  # Optuna's own pauses between tries
    count = 0
    make = RDBStorage.__init__

    def watched(self: RDBStorage, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        commit = self.engine.dialect.do_commit

        def commit_and_lose(connection: Any) -> None:
            nonlocal count
            commit(connection)
            count += 1
            if count % 2:
                raise sqlite3.OperationalError("database is locked")  # what SQLite has for "try again"

        monkeypatch.setattr(self.engine.dialect, "do_commit", commit_and_lose)

    monkeypatch.setattr(RDBStorage, "__init__", watched)
    return lambda: count // 2


def told(search: Search) -> list[tuple[int, str, dict[str, Any], list[float] | None]]:
    return [(t.number, t.state.name, t.params, t.values) for t in search.study.get_trials()]


def value(params: dict[str, Any]) -> float:
    return -sum(math.log10(v) ** 2 for v in params.values())


def test_lost_answers_change_no_trial(
    tmp_path: Path, every_second_answer_is_lost: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = make_tuning(Budget("trials", 8))
    calm = open_search(tuning, tmp_path)
    assert work(calm, value) == 8
    with patience.granted(lambda message: None):
        search = open_search(tuning, tmp_path, f"sqlite:///{tmp_path / 'optuna.db'}")
        assert work(search, value) == 8
        assert every_second_answer_is_lost() > 50
        assert told(search) == told(calm)
        marks = [t.system_attrs[MADE] for t in search.study.get_trials()]
        assert len(set(marks)) == 8


def test_two_workers_never_take_the_same_trial_from_the_queue(
    tmp_path: Path, every_second_answer_is_lost: Callable[[], int]
) -> None:
    tuning, url = make_tuning(Budget("trials", 8)), f"sqlite:///{tmp_path / 'optuna.db'}"
    with patience.granted(lambda message: None):
        first, second = open_search(tuning, tmp_path, url), open_search(tuning, tmp_path, url)
        taken = [search.ask() for search in (first, second) * 2]
        numbers = [trial.number for trial in taken if trial]
        assert sorted(numbers) == [0, 1, 2, 3]
        assert taken[0] and taken[0].params == tuning.defaults


def test_without_the_marks_the_same_losses_double_trials(
    tmp_path: Path, every_second_answer_is_lost: Callable[[], int]
) -> None:
    """What the tests above would not see otherwise: Optuna's own tries make a trial anew."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    with patience.granted(lambda message: None):
        search = open_search(make_tuning(), tmp_path, url)
        before = len(search.study.trials)
        for _ in range(2):  # one of the two at least loses its answer
            RDBStorage(url)._create_new_trial(search.study._study_id)
        assert len(search.study.trials) > before + 2

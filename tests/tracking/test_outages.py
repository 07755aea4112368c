"""A run whose store is away, at each moment of its life. With a server that is killed: test_server; searches: tuning."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from bench.core.errors import StoreAway
from bench.core.schema import Status
from bench.tracking import experiment, store
from bench.tracking.runs import Tracker
from bench.tracking.store import patience
from tests.support.outages import ROW, SPEC


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'mlflow.db'}"


def test_a_run_that_begins_while_the_store_is_away_is_logged_when_it_is_back(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST", 0.01)
    tracker = Tracker(sqlite, experiment.open_store(sqlite, "begins late"))
    away, create = True, tracker.client.create_run

    def create_run(*args: Any) -> Any:
        if away:
            raise ConnectionRefusedError
        return create(*args)

    monkeypatch.setattr(tracker.client, "create_run", create_run)
    with patience.granted(lambda message: None):
        began = time.time()
        log = tracker.start(ROW, SPEC, system_metrics=False)
        log.record(1, {"loss": 1.0})
        assert time.time() - began < 2, "training waits for nothing"
        assert store.read_runs(sqlite, "begins late") == []
        away = False
        log.finish(Status.FINISHED, {"accuracy": 0.5})
    (run,) = store.read_runs(sqlite, "begins late")
    assert run.metrics == {"loss": 1.0, "accuracy": 0.5} and run.mlflow_status == "FINISHED"
    assert abs(run.start_time / 1000 - began) < 2, "its start is that of its training"


def test_what_a_request_made_after_it_was_given_up_is_marked_killed(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs past the client's timeout, and takes the request up after the second one was sent."""
    monkeypatch.setattr(patience, "FIRST", 0.01)
    tracker = Tracker(sqlite, experiment.open_store(sqlite, "made twice"))
    create, late = tracker.client.create_run, []

    def create_run(*args: Any) -> Any:
        if not late:
            late.append(args)
            raise TimeoutError
        made = create(*args)
        create(*late[0])
        return made

    monkeypatch.setattr(tracker.client, "create_run", create_run)
    with patience.granted():
        tracker.start(ROW, SPEC, system_metrics=False).finish(Status.FINISHED, {})
    assert Counter(run.mlflow_status for run in store.read_runs(sqlite, "made twice")) == {
        "FINISHED": 1,
        "KILLED": 1,
    }


def test_a_store_that_stays_away_is_given_up_in_plain_words(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST", 0.01)
    monkeypatch.setenv(patience.VARIABLE, "0.5")
    tracker = Tracker(sqlite, experiment.open_store(sqlite, "stays away"))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionRefusedError("refused")

    with patience.granted(lambda message: None):
        log = tracker.start(ROW, SPEC, system_metrics=False)
        monkeypatch.setattr(tracker.client, "log_batch", patience.patient(refuse))
        log.record(1, {"loss": 1.0})
        started = time.monotonic()
        with pytest.raises(StoreAway, match="the store has been away"):
            log.finish(Status.FINISHED, {})
    assert time.monotonic() - started < 5
    (run,) = store.read_runs(sqlite, "stays away")
    assert run.mlflow_status == "RUNNING", (
        "nothing says finished that is not all there; the next session marks it killed"
    )

"""One driver at a time on a study over a store that many machines reach."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.core.errors import UserError
from bench.core.schema import Purpose, Tag
from bench.tracking import lease
from bench.tracking.store.client import MlflowClient


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('lease')}/mlflow.db"


@pytest.fixture
def store(uri: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """(URI, id of an experiment); drivers beat every .2 s."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "SILENT_SECONDS", 1.2)
    return uri, MlflowClient(uri).create_experiment(request.node.name)


@contextmanager
def driver(
    store: tuple[str, str], said: list[str] | None = None, lost: threading.Event | None = None
) -> Iterator[None]:
    said = [] if said is None else said
    with lease.held(*store, "study", said.append, (lost or threading.Event()).set):
        yield


def shown(store: tuple[str, str], status: str = "RUNNING") -> list[str]:
    uri, experiment = store
    runs = MlflowClient(uri).search_runs([experiment], f"attributes.status = '{status}'")
    return [run.info.run_id for run in runs]


def test_the_second_is_refused_and_afterwards_is_not(store: tuple[str, str]) -> None:
    with driver(store):
        with pytest.raises(UserError, match=r"is being run from .* on this store"), driver(store):
            pytest.fail("two drivers at a time")
        assert len(shown(store)) == 1
    with driver(store):
        pass
    assert shown(store) == [], "nothing of it is left in sight"


def claim_of_a_lost_machine(store: tuple[str, str]) -> str:
    tags = {
        Tag.PURPOSE: Purpose.DRIVER, Tag.DRIVER: "holds", Tag.BEAT: "7", Tag.HOST: "elsewhere", Tag.PID: "1:2",
    }  # fmt: skip
    return MlflowClient(store[0]).create_run(store[1], tags=tags).info.run_id


def test_who_gives_no_sign_of_life_is_taken_for_dead(store: tuple[str, str]) -> None:
    other, said = claim_of_a_lost_machine(store), []
    began = time.monotonic()
    with driver(store, said):
        assert time.monotonic() - began >= lease.SILENT_SECONDS
        assert other not in shown(store)
    assert "a driver on elsewhere has this study" in said[0]


def test_who_beats_on_another_machine_is_alive_whatever_its_clock_says(store: tuple[str, str]) -> None:
    other, over = claim_of_a_lost_machine(store), threading.Event()

    def beat() -> None:
        beats = 0
        while not over.wait(lease.BEAT_SECONDS):
            beats += 1
            MlflowClient(store[0]).set_tag(other, Tag.BEAT, str(beats))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(UserError, match="is being run from elsewhere"), driver(store):
            pytest.fail("two drivers at a time")
    finally:
        over.set()
        thread.join()


def test_a_dead_process_of_this_machine_is_not_waited_for(store: tuple[str, str]) -> None:
    other = claim_of_a_lost_machine(store)
    MlflowClient(store[0]).set_tag(other, Tag.HOST, lease.platform.node())
    began = time.monotonic()
    with driver(store):
        assert time.monotonic() - began < lease.SILENT_SECONDS


def test_who_was_taken_for_dead_is_told(store: tuple[str, str]) -> None:
    lost = threading.Event()
    with driver(store, lost=lost):
        (own,) = shown(store)
        assert not lost.wait(2 * lease.BEAT_SECONDS)
        MlflowClient(store[0]).set_terminated(own, "KILLED")
        assert lost.wait(10)


def test_of_many_that_start_at_once_never_two_hold(store: tuple[str, str]) -> None:
    holding, most, refused, held = [0], [0], [0], [0]
    guard, together = threading.Lock(), threading.Barrier(4)

    def start() -> None:
        together.wait()
        try:
            with driver(store):
                with guard:
                    holding[0] += 1
                    held[0] += 1
                    most[0] = max(most[0], holding[0])
                time.sleep(0.3)
                with guard:
                    holding[0] -= 1
        except UserError:
            refused[0] += 1

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 1 and held[0] + refused[0] == 4 and not holding[0]

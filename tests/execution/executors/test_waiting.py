"""Which job is next, and when one that loses its workers has had enough of them."""

from __future__ import annotations

import pytest

from bench.core.jobs import Ended, Event, Job, Lost
from bench.execution.executors.waiting import ATTEMPTS, PREEMPTIONS, Waiting


def outcome(waiting: Waiting, how: str) -> list[Event]:
    job = waiting.take()
    return list(getattr(waiting, how)(job, 0, "why"))


@pytest.mark.parametrize(("how", "limit"), [("died", ATTEMPTS), ("preempted", PREEMPTIONS)])
def test_a_lost_job_goes_first_again_and_not_for_ever(how: str, limit: int) -> None:
    waiting = Waiting([Job("a", "x:y"), Job("b", "x:y")])
    for _ in range(limit - 1):
        (lost,) = outcome(waiting, how)
        assert isinstance(lost, Lost) and lost.job.key == "a"
    lost, ended = outcome(waiting, how)
    assert isinstance(ended, Ended) and ended.crash and f"{limit} times" in ended.crash
    assert waiting.take().key == "b" and not waiting

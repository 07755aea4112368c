"""What `bench.core.jobs.Executor` promises the driver, of every executor. A new one is a line of MAKE."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bench.core.jobs import STOPS, Ended, Event, Executor, Lost, Progress, Started
from bench.execution.executors.inline import InlineExecutor
from bench.execution.executors.pool import LocalPool
from bench.execution.executors.waiting import ATTEMPTS
from tests.conftest import ROOT
from tests.support.executor_jobs import job


def _inline(cache: Path) -> Executor:
    return InlineExecutor()


def _pool(cache: Path) -> Executor:
    return LocalPool(2, threads=1)


def _ray(cache: Path) -> Executor:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'finetune-bench[ray]'")
    from bench.execution.executors.cluster import RayExecutor

    return RayExecutor(cache, at_most=2)


MAKE: dict[str, Callable[[Path], Executor]] = {"inline": _inline, "pool": _pool, "ray": _ray}
IN_THIS_PROCESS = {"inline"}
"""No worker that could be lost or stopped, and no progress within a job."""

each = pytest.mark.parametrize("executor", MAKE, indirect=True)
with_workers = pytest.mark.parametrize(
    "executor", [k for k in MAKE if k not in IN_THIS_PROCESS], indirect=True
)


@pytest.fixture(scope="module")
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """One for all tests of its kind: a study, too, calls its executor several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # where workers find the jobs
        executor = MAKE[request.param](tmp_path_factory.mktemp(request.param))
        try:
            yield executor
        finally:
            executor.close()


def ends(events: list[Event]) -> dict[str, Ended]:
    """key of a job -> how it ended; each was started before, and ended once."""
    started: set[str] = set()
    found: dict[str, Ended] = {}
    for event in events:
        assert isinstance(event, Started) or event.job.key in started, "of a job that was not started"
        assert event.job.key not in found, "of a job that had ended"
        if isinstance(event, Started):
            started.add(event.job.key)
        elif isinstance(event, Ended):
            found[event.job.key] = event
    return found


@each
def test_every_job_ends_once_with_a_result_a_user_error_or_a_crash(executor: Executor) -> None:
    jobs = [job("squared", n, key=str(n)) for n in (3, 4)]
    found = ends(list(executor.run([jobs[0], job("refuse"), job("crash"), jobs[1]])))
    assert found.keys() == {"3", "refuse", "crash", "4"}
    assert found["3"].result == (3, 9) and found["4"].result == (4, 16)
    assert found["refuse"].user_error == "images/cat: no such folder"
    assert all(
        part in (found["crash"].crash or "") for part in ("Traceback", "ZeroDivisionError: a mistake of ours")
    )
    for end in found.values():
        given = [value for value in (end.result, end.user_error, end.crash) if value is not None]
        assert len(given) == 1, "in one of three ways"


@each
def test_jobs_start_in_their_order_and_not_before_a_worker_is_free(executor: Executor) -> None:
    order = [str(n) for n in (5, 2, 9, 1, 7)]
    events, busy = list(executor.run(job("squared", int(n), key=n) for n in order)), 0
    assert [event.job.key for event in events if isinstance(event, Started)] == order
    for event in events:
        busy += isinstance(event, Started) - isinstance(event, Ended)
        assert 0 <= busy <= executor.workers
    assert busy == 0 and len(ends(events)) == len(order)


@each
def test_without_jobs_nothing_happens(executor: Executor) -> None:
    assert list(executor.run([])) == [] and executor.workers >= 1


@each
def test_progress_belongs_to_a_job_under_way(executor: Executor) -> None:
    steps = 4
    events = list(executor.run([job("tell", steps, 0.4)]))
    assert ends(events)["tell"].result == "told"
    told = [(event.done, event.total) for event in events if isinstance(event, Progress)]
    assert told == sorted(told) and {total for _, total in told} <= {steps}
    assert told or isinstance(executor, InlineExecutor)
    assert all(0 < done <= steps for done, _ in told)


@with_workers
def test_a_killed_worker_costs_its_job_one_attempt(executor: Executor, tmp_path: Path) -> None:
    events = list(executor.run([job("die", tmp_path, 1), job("squared", 3)]))
    found = ends(events)
    assert found["die"].result == 2 and found["squared"].result == (3, 9)
    assert [event.job.key for event in events if isinstance(event, Lost)] == ["die"]
    assert Counter(event.job.key for event in events if isinstance(event, Started)) == {
        "die": 2,
        "squared": 1,
    }


@with_workers
def test_a_job_that_kills_every_worker_ends_as_a_crash(executor: Executor, tmp_path: Path) -> None:
    events = list(executor.run([job("die", tmp_path, 99), job("squared", 3)]))
    found = ends(events)
    assert f"its worker died {ATTEMPTS} times" in (found["die"].crash or "")
    assert found["squared"].result == (3, 9), "the next job has a worker again"
    assert sum(isinstance(event, Lost) for event in events) == ATTEMPTS == len(list(tmp_path.iterdir()))


@with_workers
def test_close_in_mid_run_stops_the_jobs_and_lets_them_say_so(executor: Executor, tmp_path: Path) -> None:
    """The last test, which leaves no worker to others; its fixture closes once more, which does no harm."""
    events = executor.run([job("last_until_stopped", tmp_path)])
    assert [type(event) for event in (next(events), next(events))] == [Started, Progress]
    executor.close()
    name, handled = (tmp_path / "end").read_text().split()
    assert name in {stop.__name__ for stop in STOPS} and handled == "False", (
        "`except Exception` would take it"
    )
    assert _gone(int((tmp_path / "pid").read_text()), seconds=30), "a process is left"


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False

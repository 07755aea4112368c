"""Which job is next, and what becomes of one whose worker was lost: one rule for every executor."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from bench.core.jobs import Ended, Event, Job, Lost

ATTEMPTS = 2
"""A job whose worker died is tried once more: the machine may have been short of memory for a moment."""

PREEMPTIONS = 20
"""A job whose whole machine went away is not to blame, unless it takes machine after machine with it."""


class Waiting:
    """The jobs that no worker has, in their order; what was lost goes first again."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = deque(jobs)
        self._deaths: Counter[str] = Counter()
        self._preemptions: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def take(self) -> Job:
        return self._jobs.popleft()

    def died(self, job: Job, worker: int, cause: str) -> Iterator[Event]:
        """The worker of `job` died over it: the job waits again, or has ended."""
        yield Lost(job, worker, cause)
        yield from self._again(job, worker, cause, self._deaths, ATTEMPTS, "its worker died")

    def preempted(self, job: Job, worker: int, cause: str) -> Iterator[Event]:
        """The machine of `job` went away with all that ran there."""
        yield Lost(job, worker, cause)
        yield from self._again(job, worker, cause, self._preemptions, PREEMPTIONS, "its machine was lost")

    def _again(
        self, job: Job, worker: int, cause: str, count: Counter[str], limit: int, what: str
    ) -> Iterator[Event]:
        count[job.key] += 1
        if count[job.key] < limit:
            self._jobs.appendleft(job)
        else:
            yield Ended(job, worker, crash=f"{what} {count[job.key]} times ({cause})")

"""The interface between the driver and whatever executes its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

Emit = Callable[[int, int], None]
"""(steps done, steps in total) of the current job; must not block."""


class Stopped(BaseException):
    """The worker was told to stop (SIGTERM). Not an `Exception`: nothing on the way should swallow it."""


STOPS = (Stopped, KeyboardInterrupt, SystemExit)
"""How a job under way is told to stop: by the local pool; in the driver's own process, or cancelled by Ray; and by Ray as it
ends a worker."""


@dataclass(frozen=True)
class Job:
    """A call of the importable `function` ("module:name") as function(emit, *args), somewhere else perhaps."""

    key: str
    function: str
    args: tuple[Any, ...] = ()
    label: str = ""

    def call(self, emit: Emit) -> Any:
        module, name = self.function.split(":")
        return getattr(import_module(module), name)(emit, *self.args)


@dataclass(frozen=True)
class Started:
    job: Job
    worker: int


@dataclass(frozen=True)
class Progress:
    job: Job
    worker: int
    done: int
    total: int


@dataclass(frozen=True)
class Lost:
    """The worker of a job is gone, and nothing of it runs any more. The job starts again, or ends at once."""

    job: Job
    worker: int
    cause: str


@dataclass(frozen=True)
class Ended:
    """A job is over: with a `result`, a `user_error` (a message), or a `crash` (a traceback or cause of death)."""

    job: Job
    worker: int
    result: Any = None
    user_error: str | None = None
    crash: str | None = None


Event = Started | Progress | Lost | Ended


class Executor(Protocol):
    """Executes jobs and tells what happens to them. Every job ends exactly once."""

    @property
    def workers(self) -> int:
        """How many jobs it executes at a time."""
        ...

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """Execute `jobs`, which start in the given order.

        Yields:
            What happens, until every job has had its one `Ended`.
        """
        ...

    def close(self) -> None:
        """Stop whatever still runs, giving it a moment to say so, and free the workers."""
        ...

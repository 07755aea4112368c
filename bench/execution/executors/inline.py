"""Jobs in this very process: for debugging and for tests of what surrounds them."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator

from bench.core.errors import UserError
from bench.core.jobs import Ended, Event, Job, Started


class InlineExecutor:
    """One job after the other, no processes; progress within a job is not reported."""

    workers = 1

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        for job in jobs:
            yield Started(job, 0)
            yield self._end(job)

    def _end(self, job: Job) -> Ended:
        try:
            return Ended(job, 0, result=job.call(lambda done, total: None))
        except UserError as error:
            return Ended(job, 0, user_error=str(error))
        except Exception:
            return Ended(job, 0, crash=traceback.format_exc())

    def close(self) -> None:
        return None

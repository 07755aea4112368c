"""What handing a job to a worker costs: jobs that do nothing, on each executor, once its workers are warm.

python -m tests.benchmarks.scheduling       # a table for docs/reliability.md
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tabulate import tabulate

from bench.core.jobs import Emit, Ended, Executor, Job
from bench.execution.executors.choose import Kind, Request

JOBS, REPEATS = 100, 5


def nothing(emit: Emit, number: int) -> int:
    emit(1, 1)
    return number


def milliseconds(executor: Executor, jobs: int) -> float:
    """Of wall time a job, on one worker."""
    start = time.perf_counter()
    work = [Job(str(i), "tests.benchmarks.scheduling:nothing", (i,)) for i in range(jobs)]
    ended = [event for event in executor.run(work) if isinstance(event, Ended)]
    assert sorted(event.result for event in ended) == list(range(jobs))
    return 1000 * (time.perf_counter() - start) / jobs


def measure(make: Callable[[], Executor]) -> dict[str, float]:
    start = time.perf_counter()
    executor = make()
    try:
        milliseconds(executor, 2)  # imports
        began = time.perf_counter() - start
        found = [milliseconds(executor, JOBS) for _ in range(REPEATS)]
    finally:
        executor.close()
    return {"ms a job": median(found), "lowest": min(found), "highest": max(found), "start, s": began}


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in Kind:
            request = Request(kind, workers=None if kind == Kind.INLINE else 1)
            rows.append(
                {"executor": str(kind), **measure(lambda r=request: r.make(Path(folder), "sqlite:///x"))}
            )
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".3g"))


if __name__ == "__main__":
    main()

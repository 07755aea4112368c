"""What `tests.benchmarks.growth` runs in processes of its own: `python -m tests.benchmarks.growth_probes NAME STUDY_FILE URI`.

Each is the product's own code, cut off where something begins that does not depend on the size of the store.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from bench.core.jobs import Ended, Event, Job, Started
from bench.core.records.planned import PlannedRow
from bench.core.records.results import Result
from bench.core.schema import Status


def no_work(emit: Any, spec: Any, row: PlannedRow, *rest: Any) -> Result:
    """A job like `bench.execution.worker.run`, with its arguments and a result like its own, without the work."""
    metrics = {f"metric_{i}": 0.5 for i in range(20)}
    return Result(Status.FINISHED, metrics={**metrics, "test_accuracy": 0.5, "total_seconds": 1.0})


class NoWork:
    """An executor, or at most a local pool, whose jobs do nothing."""

    def __init__(self, pool: Any = None) -> None:
        self.pool, self.workers = pool, 2

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        light = [replace(job, function=f"{no_work.__module__}:no_work") for job in jobs]
        if self.pool:
            yield from self.pool.run(light)
            return
        for job in light:
            yield Started(job, 0)
            yield Ended(job, 0, result=job.call(lambda done, total: None))

    def close(self) -> None:
        if self.pool:
            self.pool.close()


class Stops(NoWork):
    """An executor that is interrupted by its first job."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        raise KeyboardInterrupt
        yield


def resume(study: str, uri: str, *sets: str) -> None:
    """`bench run` up to its first job, or up to the report where nothing is missing; data and networks are not prepared."""
    from bench.output import out

    from bench.cli import console
    from bench.cli.options import planned_study
    from bench.execution import driver, preparation, state
    from bench.execution.failures import Failures

    preparation.ready = lambda *_: None
    preparation.prepare = lambda *_: (preparation.Remarks(), Failures())
    driver._write_report = lambda *_: Path()
    plan, uri = planned_study(Path(study), list(sets), uri)
    console.show_plan(out, state.read(plan, uri), 2)
    driver.run_study(plan, uri, Stops, console.ConsoleDisplay(out), Path())


def data(study: str, uri: str) -> None:
    """A report but for its figures: rows, statistics, tables, the text."""
    from reports.analysis.rows import read
    from reports.analysis.study import Analysis
    from reports.render.markdown import to_markdown
    from reports.report import compose
    from tests.benchmarks.growth_study import STUDY

    to_markdown(compose(Analysis(read(STUDY, uri), STUDY)))


def schedule(study: str, uri: str, way: str) -> None:
    """The driver's work from the first job to the last, all runs missing; prints milliseconds of wall and of processor time per run."""
    from rich.console import Console

    from bench.cli import console
    from bench.cli.options import planned_study
    from bench.execution.estimate import Estimator
    from bench.execution.executors.pool import LocalPool
    from bench.execution.queue import Queue
    from bench.execution.state import State
    from bench.storage.places import Places
    from bench.tracking import stale_runs  # noqa: F401, the driver's own import of MLflow is paid once
    from bench.tracking.plain import Tracking

    plan, _ = planned_study(Path(study), [], uri)
    executor = NoWork(LocalPool(2, 1, preload="torch") if way == "pool" else None)
    if executor.pool:  # its processes have started
        list(executor.run([Job(str(i), "", (None, {})) for i in range(8)]))
    now = State(plan, [], plan.runs, [], [], Estimator())
    view = console.ConsoleDisplay(Console(file=StringIO(), force_terminal=True))
    tracking = Tracking(uri, "1", False, "all")  # with checkpoints no runs are trained as one: a job each
    counts: Counter[str] = Counter()
    start = time.perf_counter(), time.process_time()
    Queue(executor, Places(Path(), Path()), tracking, view, counts).execute(now)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    executor.close()
    assert counts["finished"] == len(plan.runs)
    print(f"{1000 * wall / len(plan.runs):.2f} {1000 * cpu / len(plan.runs):.2f}")


if __name__ == "__main__":
    {"resume": resume, "data": data, "schedule": schedule}[sys.argv[1]](*sys.argv[2:])

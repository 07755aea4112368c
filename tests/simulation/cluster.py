"""A cluster that we do not have: 64 GPUs that are preempted, in simulated time, under the driver's real scheduling.

What is real: the plan, its order and groups, `bench.execution.driver`'s loop, the estimator, and the rule for lost jobs
(`bench.execution.executors.waiting`). What is simulated: time, runs (each takes what is drawn for it, and has no network), and
machines, which are lost at exponentially distributed moments and come back after a while. A run that is lost starts
again from nothing, as ours do.

    python -m tests.simulation.cluster          # prints the table in docs/reliability.md
"""

from __future__ import annotations

import argparse
import heapq
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tabulate import tabulate

from bench.core.jobs import Ended, Event, Job, Started
from bench.core.records.results import Result
from bench.core.schema import Metric, Status
from bench.execution import order
from bench.execution.estimate import Estimator
from bench.execution.executors.waiting import Waiting
from bench.execution.queue import Queue
from bench.execution.state import State
from bench.planning import load as loading
from bench.planning import plan as planning
from bench.storage.places import Places
from bench.tracking.plain import Tracking
from tests.benchmarks import growth_store

REQUESTS_OF_A_RUN = 7
"""To the store, measured on a run of a study against a server, apart from its epochs' batches: create the run, two of
parameters and tags, end metrics, status tag, end of the run, and a search for duplicates."""

FLUSH_SECONDS = 2.0
"""`bench.tracking.log`: metrics of epochs travel in batches at most so often."""


@dataclass(frozen=True)
class Machines:
    """`nodes` of `gpus` each. lost_every: mean hours until a node is preempted (0: never); away: hours until it is back."""

    nodes: int = 8
    gpus: int = 8
    lost_every: float = 0.0
    away: float = 0.25


@dataclass
class Simulated:
    """An executor in simulated time. Times are seconds."""

    machines: Machines
    seconds: dict[str, float]  # job's key -> what it takes
    rng: random.Random
    now: float = 0.0
    useful: float = 0.0  # GPU seconds of runs that came to their end
    lost: float = 0.0  # GPU seconds of attempts that did not
    losses: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)  # minute -> to the store
    available: float = 0.0  # GPU seconds that the machines were there

    @property
    def workers(self) -> int:
        return self.machines.nodes * self.machines.gpus

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        waiting, numbers = Waiting(jobs), count()
        events: list[tuple[float, int, str, Any]] = []  # (when, tie, what, of which node or attempt)
        free = {(node, gpu) for node in range(self.machines.nodes) for gpu in range(self.machines.gpus)}
        running: dict[int, tuple[Job, tuple[int, int], float]] = {}
        up_since = dict.fromkeys(range(self.machines.nodes), self.now)
        for node in up_since:
            self._plan_loss(events, node, next(numbers))
        while waiting or running:
            for place in sorted(free)[: self.workers]:
                if not waiting:
                    break
                free.discard(place)
                job, attempt = waiting.take(), next(numbers)
                running[attempt] = job, place, self.now
                heapq.heappush(events, (self.now + self.seconds[job.key], attempt, "end", attempt))
                self._requests(self.now, 3)
                yield Started(job, place[0] * self.machines.gpus + place[1])
            when, _, what, which = heapq.heappop(events)
            self.now = max(self.now, when)
            if what == "end" and which in running:
                job, place, began = running.pop(which)
                free.add(place)
                self._ended(job, began)
                seconds = {Metric.TOTAL_SECONDS: self.now - began, Metric.TEST_ACCURACY: 0.0}
                yield Ended(job, 0, result=Result(Status.FINISHED, metrics=seconds))
            elif what == "loss":
                self.available += (self.now - up_since.pop(which)) * self.machines.gpus
                free = {place for place in free if place[0] != which}
                for attempt in [a for a, (_, place, _) in running.items() if place[0] == which]:
                    job, place, began = running.pop(attempt)
                    self.lost += self.now - began
                    self.losses += 1
                    self._requests(self.now, 3)  # looked for, tagged, ended
                    yield from waiting.preempted(job, 0, "preempted")
                heapq.heappush(events, (self.now + self.machines.away * 3600, next(numbers), "back", which))
            elif what == "back":
                up_since[which] = self.now
                free |= {(which, gpu) for gpu in range(self.machines.gpus)}
                self._plan_loss(events, which, next(numbers))
        self.available += sum(self.now - since for since in up_since.values()) * self.machines.gpus

    def _plan_loss(self, events: list[Any], node: int, tie: int) -> None:
        if self.machines.lost_every:
            hours = self.rng.expovariate(1 / self.machines.lost_every)
            heapq.heappush(events, (self.now + hours * 3600, tie, "loss", node))

    def _ended(self, job: Job, began: float) -> None:
        self.finished[job.key] += 1
        self.useful += self.now - began
        moment = began
        while (moment := moment + FLUSH_SECONDS * 10) < self.now:  # an epoch takes some 20 s here
            self._requests(moment, 1)
        self._requests(self.now, REQUESTS_OF_A_RUN - 3)

    def _requests(self, moment: float, number: int) -> None:
        self.requests[int(moment // 60)] += number

    def close(self) -> None:
        return None


class Quiet:
    """A display that nobody looks at."""

    def say(self, message: str) -> None:
        return None

    def progress(self, title: str, total: int) -> nullcontext[None]:
        return nullcontext()

    def event(self, event: Event) -> None:
        return None

    def finished(self, name: str, result: Result, remaining: float | None) -> None:
        return None


@dataclass(frozen=True)
class Trial:
    """One simulated study."""

    runs: int
    hours: float  # makespan
    ideal_hours: float  # the work, over the GPUs that were there
    lost_share: float  # of all GPU time used
    losses: int
    doubled: int
    missing: int
    requests_per_second: float  # in the busiest minute
    own_ms_per_run: float  # of the driver's real time

    @property
    def ratio(self) -> float:
        return self.hours / self.ideal_hours


def simulate(
    runs: int, machines: Machines, seed: int, mean_minutes: float = 10.0, ordered: bool = True
) -> Trial:
    """A study of so many runs whose times are log-normal around their rough cost, with the mean of `mean_minutes`."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = growth_store.study_file(Path(folder), runs)
        plan = planning.make(loading.load(path), path, Path(folder) / "cache")
    rough = {run.run_id: order.rough_cost(run.spec, run.images_per_class) for run in plan.runs}
    scale = mean_minutes * 60 / (sum(rough.values()) / len(rough))
    seconds = {key: cost * scale * rng.lognormvariate(-0.125, 0.5) for key, cost in rough.items()}
    now = State(plan, [], list(plan.runs), [], [], Estimator())
    executor = Simulated(machines, seconds, rng)
    lost: list[str] = []
    start = time.process_time()
    with (
        patch("bench.tracking.stale_runs.mark_lost_killed", lambda tracking, ids, cause: lost.extend(ids)),
        patch("bench.execution.queue.grouped", lambda found: [[run] for run in found]),
        patch(
            "bench.execution.queue.longest_first", order.longest_first if ordered else lambda found, _: found
        ),
    ):
        counts: Counter[str] = Counter()
        tracking = Tracking("", "0", False, "none")
        Queue(executor, Places(Path(), Path()), tracking, Quiet(), counts).execute(now)
    own = time.process_time() - start
    assert len(lost) == executor.losses, "the driver marks every lost attempt"
    return Trial(
        runs=len(seconds),
        hours=executor.now / 3600,
        ideal_hours=executor.useful / (executor.available / executor.now) / 3600,
        lost_share=executor.lost / (executor.lost + executor.useful),
        losses=executor.losses,
        doubled=sum(n - 1 for n in executor.finished.values()),
        missing=len(seconds) - len(executor.finished),
        requests_per_second=max(executor.requests.values()) / 60,
        own_ms_per_run=1000 * own / len(seconds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for hours in (0.0, 24.0, 6.0, 2.0):
        for ordered in (True, False):
            trials = [
                simulate(options.runs, Machines(lost_every=hours), seed, ordered=ordered)
                for seed in range(options.seeds)
            ]
            rows.append(_row(hours, ordered, trials))
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".3g"))


def _row(hours: float, ordered: bool, trials: list[Trial]) -> dict[str, Any]:
    def mean(name: str) -> float:
        return sum(getattr(trial, name) for trial in trials) / len(trials)

    return {
        "a node is lost every": f"{hours:g} h" if hours else "never",
        "order": "longest first" if ordered else "as planned",
        "makespan, h": mean("hours"),
        "over the ideal": mean("ratio"),
        "attempts lost": mean("losses"),
        "GPU time lost, %": 100 * mean("lost_share"),
        "runs missing": mean("missing"),
        "runs doubled": mean("doubled"),
        "requests/s, busiest minute": mean("requests_per_second"),
        "driver, ms a run": mean("own_ms_per_run"),
    }


if __name__ == "__main__":
    main()

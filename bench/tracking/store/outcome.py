"""What a stored run's status is, and which of several stored runs is the one that counts: one truth for plan and report.

The status tag is written after everything else of a run (`bench.tracking.log`): after its artifacts, and after the last of
its metrics has been acknowledged. MLflow's own status follows in a request of its own. So a run that was killed between the
two is complete, though MLflow still shows it as running; and a run that MLflow calls finished without that tag was ended by
somebody else, and its results may be incomplete. The tag decides; MLflow's status only tells runs under way from dead ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.core.schema import Purpose, Status, Tag

Run = dict[str, Any]

RESULTS = (Status.FINISHED, Status.DIVERGED, Status.PRUNED)
"""Results, welcome or not. A failed or killed run is no result: it is tried again."""

OVER = (*RESULTS, Status.FAILED, Status.KILLED)
"""What the tag says of a run that has ended."""

_UNTOLD = {"RUNNING": Status.RUNNING, "SCHEDULED": Status.RUNNING, "FAILED": Status.FAILED}
"""By MLflow's status, of runs whose tag tells no end; every other one was ended from outside, which is a kill."""

_RANK = {which: i for i, which in enumerate([*RESULTS, Status.RUNNING])}
"""Results first (a run with one is never tried again), then what is under way, then tries that came to nothing."""


def status(run: Run | None) -> Status:
    """Of a stored run as `bench.tracking.store.read_runs` gives it; missing where nothing is stored."""
    if run is None:
        return Status.MISSING
    told = run["tags"].get(Tag.STATUS)
    return Status(told) if told in OVER else _UNTOLD.get(run["status"], Status.KILLED)


def has_result(run: Run | None) -> bool:
    """Whether the run is over for good: neither missing, nor under way, nor to be tried again."""
    return status(run) in RESULTS


def choose(runs: Iterable[Run]) -> Run | None:
    """Of the runs under one identity (leftovers of a kill, retries): by their status, then the latest.

    The status comes first, as clocks may have been set back between two tries.
    """
    return max(
        runs,
        key=lambda run: (-_RANK.get(status(run), len(_RANK)), run["start_time"] or 0, run["mlflow_run_id"]),
        default=None,
    )


def finals(runs: Iterable[Run]) -> dict[str, Run]:
    """The chosen run of each identity, of the planned runs among `runs`."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run["tags"].get(Tag.PURPOSE) == Purpose.FINAL and Tag.RUN_ID in run["tags"]:
            found.setdefault(run["tags"][Tag.RUN_ID], []).append(run)
    return {identity: chosen for identity, own in found.items() if (chosen := choose(own))}


def searches(runs: Iterable[Run]) -> dict[tuple[str, str], Run]:
    """The search that counts, by identity and budget ("12 trials"), of the finished ones among `runs`."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        tags = run["tags"]
        if tags.get(Tag.PURPOSE) == Purpose.TUNING and status(run) == Status.FINISHED:
            found.setdefault((tags[Tag.TUNING_ID], tags.get(Tag.BUDGET, "")), []).append(run)
    return {key: chosen for key, own in found.items() if (chosen := choose(own))}

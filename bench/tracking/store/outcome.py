"""Which of several stored runs is the one that counts: one truth for plan, lists, report and advice.

What a run's status is, `bench.core.records.runs` says.
"""

from __future__ import annotations

from collections.abc import Iterable

from bench.core.errors import UserError
from bench.core.records.looks import LookRecord
from bench.core.records.runs import RESULTS, RunRecord
from bench.core.schema import LOOK, Purpose, Status, Tag

_RANK = {which: i for i, which in enumerate([*RESULTS, Status.RUNNING])}
"""Results first (a run with one is never tried again), then what is under way, then tries that came to nothing."""


def status(run: RunRecord | None) -> Status:
    """The run's status; missing where nothing is stored."""
    return run.status if run else Status.MISSING


def choose(runs: Iterable[RunRecord]) -> RunRecord | None:
    """Of the runs under one identity (leftovers of a kill, retries): by their status, then the latest.

    The status comes first, as clocks may have been set back between two tries.
    """
    return max(
        runs,
        key=lambda run: (-_RANK.get(run.status, len(_RANK)), run.start_time or 0, run.mlflow_run_id),
        default=None,
    )


def finals(runs: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """The chosen run of each identity, of the planned runs among `runs`."""
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.purpose == Purpose.FINAL and Tag.RUN_ID in run.tags:
            found.setdefault(run.tags[Tag.RUN_ID], []).append(run)
    return {identity: chosen for identity, own in found.items() if (chosen := choose(own))}


def searches(runs: Iterable[RunRecord]) -> dict[tuple[str, str], RunRecord]:
    """The search that counts, by identity and budget ("12 trials"), of the finished ones among `runs`."""
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        if run.purpose == Purpose.TUNING and run.status == Status.FINISHED:
            found.setdefault((run.tags[Tag.TUNING_ID], run.tags.get(Tag.BUDGET, "")), []).append(run)
    return {key: chosen for key, own in found.items() if (chosen := choose(own))}


def looks(runs: Iterable[RunRecord]) -> list[LookRecord]:
    """The ledger of looks that the study run among `runs` holds, each look once, the fewest seeds first.

    Raises `UserError` for an entry that is none: without it, a verdict would pass for one that was never looked at.
    """
    found: dict[str, LookRecord] = {}
    for run in runs:
        if run.purpose == Purpose.STUDY:
            for key, text in run.tags.items():
                if key.startswith(LOOK):
                    record = _look(run.mlflow_run_id, key, text)
                    found.setdefault(record.key, record)
    return sorted(found.values(), key=lambda record: (len(record.seeds), record.when))


def _look(mlflow_run_id: str, key: str, text: str) -> LookRecord:
    try:
        return LookRecord.from_json(text)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"tag {key} of MLflow run {mlflow_run_id} is no record of a look at verdicts: {error}"
        ) from None

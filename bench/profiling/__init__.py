"""Where the time of a run goes: which run of a study, who measures it, and how it is told. Torch-free.

`measure` is the job that executes the run; the marks that it reads are in `bench.training.profile_marks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, nearest
from bench.core.jobs import Ended, Executor, Job
from bench.storage.places import Places
from bench.tracking.plain import run_name

if TYPE_CHECKING:
    from bench.execution.display import Display
    from bench.planning.plan import Plan, PlannedRun

PARTS = {
    "images": "preparation: images",
    "network": "preparation: network, weights",
    "prepare": "preparation: the strategy's own",
    "make": "cached activations: making, opening",
    "read": "cached activations: reading",
    "data": "data: images and labels of a batch",
    "augment": "augmentation",
    "forward": "forward, loss",
    "backward": "backward",
    "optimiser": "optimiser",
    "solve": "solver",
    "metrics": "metrics, logging",
    "eval": "evaluation",
    "other": "other",
}
"""The parts of a run, in the order in which they are told."""

SHOWN = 0.0005
"""The smallest share that the table has a line for."""

SHOWN_IDS = 6


def pick(plan: Plan, run_id: str | None = None, strategy: str | None = None) -> PlannedRun:
    """The run of that id (or of the only one that begins so), or the first of that strategy, or of the baseline.

    Raises `UserError` where there is none, or more than one.
    """
    if not plan.runs:
        raise UserError(f"{plan.path}: no run is planned, so there is nothing to profile")
    if run_id and strategy:
        raise UserError("give --run or --strategy, not both: a run has its strategy")
    if run_id:
        return _by_id(plan, run_id)
    labels = [s.label for s in plan.strategies]
    if strategy and strategy not in labels:
        raise UserError(f"--strategy: {strategy!r} is no strategy of this study{nearest(strategy, labels)}")
    wanted = strategy or plan.baseline
    return next((run for run in plan.runs if run.spec.strategy.label == wanted), plan.runs[0])


def _by_id(plan: Plan, run_id: str) -> PlannedRun:
    found = {run.run_id: run for run in plan.runs if run.run_id.startswith(run_id)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise UserError(
            f"--run: no run of study {plan.study.name} begins with {run_id!r}"
            f"{nearest(run_id, [run.run_id for run in plan.runs])} (`bench plan STUDY --json` lists them)"
        )
    some = [f"{key} ({run_name(run.row())})" for key, run in list(found.items())[:SHOWN_IDS]]
    more = f" and {len(found) - SHOWN_IDS} more" if len(found) > SHOWN_IDS else ""
    raise UserError(f"--run: {run_id!r} is the beginning of {', '.join(some)}{more}")


def of_run(plan: Plan, run: PlannedRun, executor: Executor, display: Display, top: int = 0) -> dict[str, Any]:
    """Execute a run, logging nothing, and measure its parts.

    top: so many of torch's operators too, from a second execution. Raises `UserError` for bad input.
    """
    places = Places(plan.base.absolute(), plan.cache)

    def job(function: str, *args: object) -> Job:
        return Job(run.run_id, f"bench.profiling.measure:{function}", args, run_name(run.row()))

    spec, beforehand = _result(job("prepare", run.spec, places), "preparing", executor, display)
    measuring = job("profile", spec, places, plan.study.checkpoints, top)
    found = _result(measuring, "profiling", executor, display)
    identity = run.run_id if run.waiting else spec.run_id
    row = vars(run.row()) | {"run_id": identity, "name": run_name(run.row()), "waiting": run.waiting}
    return {"run": row, "beforehand_seconds": beforehand, **found}


def _result(job: Job, title: str, executor: Executor, display: Display) -> Any:
    with display.progress(title, 1):
        for event in executor.run([job]):
            display.event(event)
            if isinstance(event, Ended):
                ended = event
    if ended.user_error:
        raise UserError(ended.user_error)
    if ended.crash:
        raise RuntimeError(f"{title} {job.label} failed:\n{ended.crash}")
    return ended.result


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The table of parts."""
    shown = [p for p in found["parts"] if p["share"] >= SHOWN]
    total = {"part": "total", "seconds": found["seconds"], "share": 1.0}
    return [
        {"part": PARTS.get(p["part"], p["part"]), "seconds": p["seconds"], "share": f"{p['share']:.1%}"}
        for p in (*shown, total)
    ]


def operator_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**entry, "share": f"{entry['share']:.1%}"} for entry in found["operators"]]


def title(found: dict[str, Any]) -> Iterator[str]:
    """What was measured."""
    run = found["run"]
    yield f"{run['name']}  ({run['run_id']})"
    if run["waiting"]:
        yield "its search is not over: with the default hyperparameters"
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    yield f"{found['device']}, {found['precision']}, {threads}; nothing is logged"


def summary(found: dict[str, Any]) -> Iterator[str]:
    """What the table does not say: speeds, and what they are worth on this machine."""
    training, compute = found["training"], found["compute"]
    yield (
        f"training   {training['images']} images in {training['seconds']:.2f} s: "
        f"{training['images_per_second']:.0f} images/s"
    )
    if compute["why_not"]:
        yield f"compute    not counted: {compute['why_not']}"
        return
    peak = f"{_si(compute['peak'])}FLOP/s"
    yield (
        f"compute    {_si(compute['achieved'])}FLOP/s, {100 * compute['share']:.2g} % of the {peak} of a large matrix "
        f"product here; {100 * compute['share_in_passes']:.2g} % in forward and backward alone"
    )
    yield (
        f"           an image's step: {_si(compute['forward'])}FLOP forward, {_si(compute['backward'])}FLOP backward "
        "(about 2 x forward where weights train, 0 below that; what is cached: 0)"
    )
    if found["beforehand_seconds"] > 1:
        yield (
            f"before     {found['beforehand_seconds']:.1f} s of decoding, pretraining, choosing precision: "
            "once for a study, in no run's time"
        )


def _si(value: float) -> str:
    """Three digits and a unit's prefix: "61.2 G"."""
    exponent = next((e for e in (12, 9, 6, 3) if value >= 10**e), 0)
    return f"{value / 10**exponent:.3g} {dict(zip((12, 9, 6, 3, 0), 'TGMk ', strict=True))[exponent].strip()}"

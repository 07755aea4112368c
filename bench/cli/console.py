"""The console: tables, the live progress of a study, one line per finished run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.core.jobs import Ended, Event, Lost, Started
from bench.core.jobs import Progress as Step
from bench.core.records.results import Result
from bench.core.schema import CELLS, Metric, Status
from bench.core.secrets import redacted
from bench.data.folders import sentences as about
from bench.execution.estimate import words
from bench.execution.state import State
from bench.planning import cpu_kernels
from bench.planning.backbones import remarks
from bench.tracking.store import restoring

STYLE = {Status.FINISHED: "green", Status.FAILED: "red", Status.DIVERGED: "yellow"}


def show_plan(console: Console, now: State, workers: int, uri: str = "") -> None:
    """The grid, what of it is done in the store `uri`, and how long the rest takes."""
    plan = now.plan
    done = {run.run_id for run in now.done}
    table = Table(title=f"study {plan.study.name}", title_justify="left", caption_justify="left")
    for column in ("cell", "dataset", "images per class", "done", "runs"):
        table.add_column(column, justify="right" if column in ("done", "runs") else "left")
    places = sorted({(_rank(r.cell), r.cell, r.dataset) for r in plan.runs})
    for _, cell, dataset in places:
        runs = [r for r in plan.runs if (r.cell, r.dataset) == (cell, dataset)]
        sizes = ", ".join(map(str, sorted({r.images_per_class for r in runs})))
        table.add_row(cell, escape(dataset), sizes, str(sum(r.run_id in done for r in runs)), str(len(runs)))
    console.print(table)
    for target in plan.targets:
        for i, line in enumerate(about.sentences(target.info)):
            begin = "data        " if i == 0 else "            "
            console.print(f"{begin}{escape(target.label)}: {escape(line)}", highlight=False, soft_wrap=True)
    console.print(f"strategies  {', '.join(s.label for s in plan.strategies)}", highlight=False)
    console.print(f"backbones   {', '.join(b.label for b in plan.backbones)}", highlight=False)
    for backbone in [b for b in (*plan.backbones, *plan.teachers) if b.allow_missing]:
        names = escape(", ".join(backbone.allow_missing))
        console.print(
            f"            {escape(backbone.label)}: may lack {names}, which then keep their initial values",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    for backbone in (*plan.backbones, *plan.teachers):
        for text in remarks(backbone, plan.base):
            console.print(
                f"            {escape(backbone.label)}: {escape(text)}", highlight=False, soft_wrap=True
            )
    for label, choice in plan.precision.items():
        said = choice or "fp32 or bf16, to be measured once something is to be run"
        console.print(f"precision    {escape(label)}: {said}", highlight=False, soft_wrap=True)
    kernels = cpu_kernels.state(plan.study.train)
    if kernels not in (cpu_kernels.ON, plan.study.train.cpu_kernels):
        console.print(f"CPU kernels {kernels}; torch's own are used", style="yellow", highlight=False)
    for line, style in _seeds(now):
        console.print(line, highlight=False, soft_wrap=True, style=style)
    if plan.study.tune:
        over = len(plan.tunings) - len(now.searches)
        budgets = (run.tuning.budget for run in plan.tunings.values() if run.tuning)
        budget = next(budgets, "nothing to search")
        console.print(f"searches    {over} of {len(plan.tunings)} done, {budget} each", highlight=False)
    for label, reason in plan.left_out.items():
        console.print(f"left out    {escape(label)}: {escape(reason)}", style="yellow", highlight=False)
    if now.deleted:
        said = "its experiment is deleted in MLflow, so its runs do not count: `bench run` begins anew"
        console.print(f"deleted     {said}", style="yellow", highlight=False, soft_wrap=True)
        back = escape(restoring(uri, now.deleted))
        console.print(f"            to count them instead: {back}", highlight=False, soft_wrap=True)
    console.print(
        f"[bold]{len(now.done)} of {len(plan.runs)} runs done, {len(now.missing) + len(now.waiting)} missing[/bold]"
    )
    if now.missing or now.waiting:
        console.print(f"time        {words(now.remaining(workers))} on {workers} worker(s)", highlight=False)


def show_part(console: Console, part: State, workers: int) -> None:
    """How much of the study is executed by this call, and how long that takes."""
    runs, searches = len(part.missing) + len(part.waiting), len(part.searches)
    console.print(
        f"only        {runs} of the missing runs and {searches} searches: {words(part.remaining(workers))}",
        highlight=False,
    )


def _seeds(now: State) -> Iterator[tuple[str, str]]:
    """Lines on the seeds, each with its style."""
    seeds = now.plan.study.all_seeds
    if now.race is None:
        yield f"seeds       {', '.join(map(str, seeds))}", ""
        if len(seeds) == 1:
            yield "            one seed: no intervals, and no verdict in a cell of one dataset", "yellow"
        return
    planned = now.plan.study.race
    assert planned
    looks = ", ".join(map(str, planned.looks))
    hours = f" or {planned.hours:g} hours" if planned.hours else ""
    yield f"seeds       until decided, at most {planned.at_most}{hours}; looks after {looks}", ""
    for one in now.race.looks:
        due = one.due and not now.race.out_of_time
        ahead = f"next look after {one.due}" if due else "no more seeds"
        verdict = one.entered[-1].cell.verdict if one.entered else "not looked at yet"
        if one.fresh:  # what it says is told once it is in the ledger
            ahead = f"looked at after {one.taken[-1].seeds} by the next `bench run`"
        yield f"            {one.name}: {verdict}, {ahead}", ""


def _hyperparameters(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in chosen.items())


def _rank(cell: str) -> int:
    """Cells in the order of the matrix, those that wait for a measured similarity last."""
    return CELLS.index(cell) if cell in CELLS else len(CELLS)


class ConsoleDisplay:
    """A live bar for the study and one per running job on a terminal; plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._overall: TaskID | None = None
        self._jobs: dict[str, TaskID] = {}
        self._title = ""

    def say(self, message: str) -> None:
        self.console.print(escape(redacted(message)), highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[None]:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        ]
        begun = time.monotonic()
        if not self.console.is_terminal:
            self.say(f"{title} ..." if total == 1 else f"{title} ({total}) ...")
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as bars:
            self._title, self._progress, self._jobs = title, bars, {}
            self._overall = bars.add_task(f"[bold]{title}", total=total)
            yield
        self.say(f"{title}: {time.monotonic() - begun:.1f} s")

    def event(self, event: Event) -> None:
        bars, key = self._progress, event.job.key
        assert bars is not None and self._overall is not None
        if isinstance(event, Started):
            if key in self._jobs:  # its worker died: a second attempt
                bars.remove_task(self._jobs[key])
            self._jobs[key] = bars.add_task(f"  {escape(event.job.label)}", total=None)
        elif isinstance(event, Step):
            bars.update(self._jobs[key], completed=event.done, total=event.total)
        elif isinstance(event, Lost):
            self.say(f"    lost  {event.job.label}: {event.cause}")
        elif isinstance(event, Ended):
            bars.remove_task(self._jobs.pop(key))
            bars.advance(self._overall)

    def finished(self, name: str, result: Result, remaining: float | None) -> None:
        status, metrics = result.status, result.metrics
        if status == Status.FINISHED and result.chosen is not None:
            won = (
                "  (the defaults: runs with them are the tuned ones too)"
                if not metrics[Metric.CHOSEN_TRIAL]
                else ""
            )
            detail = f"val {metrics[Metric.TUNED_VAL_ACCURACY]:.3f}  {_hyperparameters(result.chosen)}{won}"
        elif status == Status.FINISHED and not metrics:
            detail = "another worker is at the last trial"
        elif status == Status.FINISHED:
            detail = f"test {metrics[Metric.TEST_ACCURACY]:.3f}  {metrics[Metric.TOTAL_SECONDS]:.1f} s in all"
        else:
            detail = redacted(str(result.error)).strip().splitlines()[-1]
        self.console.print(
            f"[{STYLE.get(status, 'red')}]{status:>8}[/]  {escape(name)}  {escape(detail)}",
            highlight=False,
            soft_wrap=True,
        )
        if self._progress is not None and self._overall is not None and remaining is not None:
            self._progress.update(
                self._overall, description=f"[bold]{self._title}[/], {words(remaining)} left"
            )

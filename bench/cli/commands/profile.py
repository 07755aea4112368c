"""`bench profile`: where the time of a run goes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from bench.cli import console
from bench.cli.options import Json, Sets, Store, StudyFile, planned_study
from bench.cli.output import err, out, print_json, print_table
from bench.core import devices
from bench.execution import state
from bench.execution.executors.choose import Kind, Request, local_pool


def profile(
    study_file: StudyFile,
    run_id: Annotated[
        str | None,
        typer.Option("--run", metavar="ID", help="the run of this id, or of the only one that begins so"),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="the first run of this one; default: of the baseline, as full"),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="also the N most expensive operators of torch")
    ] = 0,
    as_json: Json = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="as one of so many workers, which share the cores; default: as `bench run`. 0: in this process",
        ),
    ] = None,
    sets: Sets = None,
    store: Store = None,
) -> None:
    """Where the time of a run goes. Executes one run of the study, as a worker would, and logs nothing."""
    from bench import profiling

    planned, uri = planned_study(study_file, sets, store)
    chosen = profiling.pick(state.read(planned, uri).plan, run_id, strategy)
    count = devices.default_workers() if workers is None else workers
    executor = local_pool(count, processes=1) if count else Request(Kind.INLINE).make(planned.cache, uri)
    try:
        found = profiling.of_run(planned, chosen, executor, console.ConsoleDisplay(err), top)
    finally:
        executor.close()
    if as_json:
        print_json(found)
        return
    for line in profiling.title(found):
        out.print(escape(line), highlight=False, soft_wrap=True)
    print_table(profiling.rows(found))
    for line in profiling.summary(found):
        out.print(escape(line), highlight=False, soft_wrap=True)
    if top:
        steps = f"operators of {found['operator_steps']} training steps and what lay between them"
        out.print(f"\n{steps}, on a second execution", highlight=False, soft_wrap=True)
        print_table(profiling.operator_rows(found))

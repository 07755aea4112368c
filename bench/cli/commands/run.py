"""`bench run`: what is missing of a study, then its report."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from bench.cli import console
from bench.cli.options import OUT, Only, Sets, Store, StudyFile, WithoutFailed, Workers, planned_study
from bench.cli.output import out
from bench.core.secrets import redacted
from bench.execution import state
from bench.execution.executors.choose import Kind, Request
from bench.execution.part import Part
from bench.storage.places import store_uri


def run(
    study_file: StudyFile,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="as `bench plan`")] = False,
    executor: Annotated[
        Kind,
        typer.Option(help="where runs execute: processes of this machine, a Ray cluster, or this process"),
    ] = Kind.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster, as auto or HOST:6379; default: a Ray of its own")
    ] = None,
    cpus: Annotated[int, typer.Option("--cpus-per-run", min=1, help="Ray: processors of each run")] = 1,
    gpus: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-run", min=0, help="Ray: .25 puts four runs on a GPU; default: 1 where there are any"
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="write the report at the end; later: `bench report`")
    ] = True,
    without_failed: WithoutFailed = False,
    only: Only = None,
    sets: Sets = None,
    store: Store = None,
) -> None:
    """Run what is missing of a study, then write its report. Stop with Ctrl-C; run again to go on."""
    wanted = Request(Kind.RAY if address else executor, workers, address, cpus, gpus)
    plan, uri = planned_study(study_file, sets, store)
    part = Part.parse(only or [])
    part.check(plan)
    now = state.read(plan, uri)
    console.show_plan(out, now, wanted.expected_workers, uri)
    if only:
        console.show_part(out, part.of(now), wanted.expected_workers)
    if dry_run:
        return
    from bench.execution.driver import run_study

    summary = run_study(
        plan,
        uri,
        lambda: wanted.make(plan.cache, uri),
        console.ConsoleDisplay(out),
        OUT if report else None,
        without_failed,
        part,
    )
    if summary.counts:
        counts = ", ".join(f"{n} {status}" for status, n in sorted(summary.counts.items()))
        out.print(f"this call: {counts}", highlight=False)
    for failure in summary.failures:
        out.print(f"not run     {escape(failure)}", style="red", highlight=False, soft_wrap=True)
    if summary.report:
        out.print(
            f"report      {summary.report / 'report.md'} (and report.html)", highlight=False, soft_wrap=True
        )
        out.print(f"MLflow UI   bench ui{_store_option(uri)}", highlight=False, soft_wrap=True)
    raise typer.Exit(summary.exit_code)


def _store_option(uri: str) -> str:
    return "" if uri == store_uri() else f" --store {redacted(uri)}"

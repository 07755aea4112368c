"""`bench similarity`: how near datasets are to backbones."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from bench.cli import console
from bench.cli.options import Json, Sets, StudyFile, planned_study
from bench.cli.output import err, out, print_json, print_table
from bench.core import devices
from bench.execution.executors.choose import local_pool


def similarity(study_file: StudyFile, as_json: Json = False, sets: Sets = None) -> None:
    """Measure how near a study's datasets are to its backbones, and how well their features would transfer."""
    from bench.execution import similarity as measuring

    plan, _ = planned_study(study_file, sets, None)
    executor = local_pool(devices.default_workers())
    try:
        entries = measuring.measure_study(plan, executor, console.ConsoleDisplay(err))
    finally:
        executor.close()
    if as_json:
        print_json([{"dataset": dataset, **asdict(entry)} for dataset, entry in entries])
        return
    for title, rows, missing in measuring.tables(entries):
        out.print(f"[bold]{escape(title)}[/]", highlight=False)
        print_table(rows)
        out.print(escape("\n".join([*missing, ""])), style="yellow", highlight=False, soft_wrap=True)

"""`bench report`: a study's report, written from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import OUT, Store, StudyName, uri_of
from bench.cli.output import out


def report(
    name: StudyName,
    store: Store = None,
    to: Annotated[Path, typer.Option("--out", help="folder for reports")] = OUT,
    peek: Annotated[
        bool,
        typer.Option(
            "--peek", help="estimates only: no new look at verdicts, nothing is written to the store"
        ),
    ] = False,
) -> None:
    """Write NAME/report.md and report.html from the store; the study may be unfinished."""
    import reports

    folder = reports.write(name, uri_of(store), to, peek=peek)
    out.print(f"{folder / 'report.md'} (and report.html)", highlight=False, soft_wrap=True)

"""`bench export` and `bench import`: a study in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.cli.options import Store, StudyName, uri_of
from bench.cli.output import err, out


def export(
    name: StudyName,
    to: Annotated[Path | None, typer.Option("--out", help="file; default: NAME.parquet")] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="with what each run said of each test image")
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="results alone, without settings and times of day")
    ] = False,
    store: Store = None,
) -> None:
    """Write a study's finished runs, searches and looks into one file, for others and other stores."""
    from bench.tracking.exchange.exporting import export as write

    path = to or Path(f"{name}.parquet")
    found = write(uri_of(store), name, path, predictions, compact)
    runs, searches, trials = (found.count(purpose) for purpose in ("final", "tuning", "trial"))
    size = f"{path.stat().st_size / 1e6:.2g} MB"
    text = f"{path}: {runs} runs, {searches} searches, {trials} trials, {size}"
    out.print(text, highlight=False, soft_wrap=True)


def import_(
    file: Annotated[Path, typer.Argument(help="what `bench export` wrote", show_default=False)],
    store: Store = None,
) -> None:
    """Fill a store from an exported study: its runs count as done. Again is harmless; what is there stays."""
    from bench.tracking.exchange.importing import import_file

    columns = TextColumn("importing"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("importing", total=None)
        name, done = import_file(
            uri_of(store),
            file,
            say=lambda text: bar.console.print(text, soft_wrap=True),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    text = f"study {name}: {done.added} runs, searches and trials added, {done.there} were there"
    out.print(text, highlight=False, soft_wrap=True)

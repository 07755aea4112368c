"""`bench answer`: what a study of many datasets says of the textbook's rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Store, uri_of
from bench.cli.output import out


def answer(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY|FILE",
            help="a study in the store, or a file of `bench export`; default: the evidence of the package",
            show_default=False,
        ),
    ] = None,
    to: Annotated[Path, typer.Option("--out", help="folder of the page")] = Path("reports/out/answer"),
    store: Store = None,
) -> None:
    """Write the answer page, each dataset one observation: answer.md, answer.html and figures."""
    from bench.advice import gathering
    from reports.answer import page

    studied = gathering.lead() if source is None else gathering.study_of(source, uri_of(store), Path(source))
    folder = page.write(studied.joined, to)
    out.print(f"{folder / 'answer.md'} (and answer.html)", highlight=False, soft_wrap=True)

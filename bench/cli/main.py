"""The `bench` command. Heavy imports happen inside the commands that need them: planning takes under two seconds."""

from __future__ import annotations

import sys
import traceback

import typer
from rich.markup import escape
from rich.text import Text

from bench.cli.commands import (
    advise,
    answer,
    evidence,
    exchange,
    lists,
    plan,
    profile,
    report,
    run,
    runs,
    similarity,
    ui,
    verify,
)
from bench.cli.output import err
from bench.core.errors import UserError, one_line_each
from bench.core.secrets import redacted
from bench.storage.files import disk_full

app = typer.Typer(
    help="Settle by measurement how to fine-tune an image classifier.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    run.run,
    plan.plan,
    report.report,
    runs.runs,
    exchange.export,
    profile.profile,
    similarity.similarity,
    advise.advise,
    evidence.evidence,
    answer.answer,
    verify.verify,
    lists.strategies,
    lists.backbones,
    lists.datasets,
    lists.schema,
    ui.ui,
):
    app.command()(command)
app.command(name="import")(exchange.import_)


def main() -> None:
    """Entry point: a `UserError` becomes a message and exit code 2."""
    try:
        app()
    except UserError as error:
        message = one_line_each(redacted(str(error)))
        err.print(
            Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True
        )  # no markup, no :emoji:
        sys.exit(2)
    except Exception as error:  # a mistake of ours, in full but for passwords, or a disk that is full
        if not (reason := redacted(disk_full(error))):
            sys.exit(redacted(traceback.format_exc()))
        err.print(
            f"[bold red]error:[/] a disk is full: {escape(reason)}\nfree some of it; the same command goes on from here",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(2)

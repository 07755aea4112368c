"""`bench ui`: MLflow's own, on the store."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bench.cli.options import Store, uri_of
from bench.cli.output import out
from bench.core.secrets import redacted
from bench.tracking import server
from bench.tracking.store import experiment_ids


def ui(store: Store = None, port: Annotated[int, typer.Option(help="on 127.0.0.1")] = 5000) -> None:
    """Open the MLflow UI on the store; loopback only: SECURITY.md says how to let others in. Stop with Ctrl-C."""
    uri = uri_of(store)
    is_server = uri.startswith(("http://", "https://"))
    address = redacted(uri.rstrip("/")) if is_server else f"http://127.0.0.1:{port}"
    out.print(
        f"The store is a server: open {address}"
        if is_server
        else f"{address} in about {server.START_SECONDS} s",
        highlight=False,
        soft_wrap=True,
    )
    for name, number in sorted(experiment_ids(uri).items()):
        if name != "Default":
            out.print(f"{name}  {address}/{server.runs_page(number)}", highlight=False, soft_wrap=True)
    if not is_server:
        command = server.command(port)
        os.execve(command[0], command, server.environment(uri))

"""`bench runs`: a study's runs, one row each."""

from __future__ import annotations

import csv
import sys
from typing import Annotated

import typer

from bench.cli.options import Json, Store, StudyName, uri_of
from bench.cli.output import print_json, print_runs


def runs(
    name: StudyName,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="comma-separated output")] = False,
    store: Store = None,
) -> None:
    """List the runs of a study, one row each: finished, failed, diverged, killed, running or missing."""
    import reports

    rows = reports.rows(name, uri_of(store))
    if as_json:
        print_json(rows)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_runs(rows)

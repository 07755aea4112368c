"""What commands print: text for people, tables as wide as they need to be on a pipe, JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.core.collapse import NOT_COLLAPSED

out, err = Console(), Console(stderr=True)

WIDEST = 1000
"""Columns of a table that is written to a file or a pipe: nothing is cut or wrapped there."""


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


COLUMNS = {
    "run_id": "run_id",
    "status": "status",
    "dataset": "dataset",
    "n_per_class": "n",
    "backbone": "backbone",
    "strategy": "strategy",
    "setting": "setting",
    "seed": "seed",
    "val_accuracy": "val",
    "test_accuracy": "test",
    "ncm_test_accuracy": "before",
    "collapsed": "collapsed on",
    "train_seconds": "train, s",
}
"""What `bench runs` shows, and how a narrow terminal can show it. before: the unchanged network, where that is stored.
collapsed on: the images on which a run is no better than always saying their largest class, where there is such a run."""


def print_runs(rows: list[dict[str, Any]]) -> None:
    """What is the same in all rows is said once, above."""
    given = ("dataset", "n_per_class", "backbone", "strategy", "setting", "seed")
    same = [column for column in given if len({row[column] for row in rows}) == 1]
    for column in same:
        out.print(f"{column}: {escape(_cell(rows[0][column]))}", highlight=False, soft_wrap=True)
    rows = [{**row, "collapsed": _collapsed(row)} for row in rows]
    rare = [c for c in ("ncm_test_accuracy", "collapsed") if all(row.get(c) is None for row in rows)]
    print_table([{COLUMNS[c]: row.get(c) for c in COLUMNS if c not in [*same, *rare]} for row in rows])


def _collapsed(row: dict[str, Any]) -> str | None:
    """None of a run that has not, as of one of which it is not known."""
    where: str | None = row.get("collapsed")
    return None if where == NOT_COLLAPSED else where


def print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else []:
        whole = column in ("name", "run_id", "policy") or any(
            isinstance(r[column], int | float) for r in rows
        )
        table.add_column(column, no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    if not out.is_terminal:
        out.width = max(out.width, table.__rich_measure__(out, out.options.update(width=WIDEST)).maximum)
    out.print(table, highlight=False)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

"""Runs without a result, with their errors, and combinations that are not in the grid."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.schema import Status
from reports.analysis.rows import Row
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Caption, Heading, Items, Paragraph, Table
from reports.render.text import NONE, code, escape

NOT_DONE = [Status.FAILED, Status.DIVERGED, Status.KILLED, Status.RUNNING, Status.PRUNED, Status.MISSING]
MAX_LISTED = 50  # runs without a result that are listed one by one


def section(study: Analysis) -> list[Block]:
    return [Heading("Runs without a result"), *_runs(study.all_rows), *_combinations(study)]


def _runs(rows: Sequence[Row]) -> list[Block]:
    listed = without_result(rows)
    if listed.rows:
        return [
            listed,
            Caption(f"""
                At most {MAX_LISTED} are listed. Comparisons leave these runs out; a strategy that fails or diverges on
                some seeds is compared on the others, which flatters it.
            """),
        ]
    if all(row["status"] == Status.FINISHED for row in rows):
        return [Paragraph("None: all planned runs have finished.")]
    return [Paragraph("Runs are missing; none has failed.")]


def _combinations(study: Analysis) -> list[Block]:
    left_out = study.document.left_out
    if not left_out:
        return []
    return [
        Paragraph("Left out of the grid, as meaningless combinations:"),
        Items([f"{code(one.label)}: {escape(one.reason)}" for one in left_out]),
    ]


def without_result(rows: Sequence[Row]) -> Table:
    """Runs that are planned and not finished, with their errors; missing ones are only counted, at the head."""
    found = [row for row in rows if row["status"] in NOT_DONE and row["status"] != Status.MISSING]
    found.sort(key=lambda row: NOT_DONE.index(Status(row["status"])))
    lines = [
        [
            row["status"],
            escape(row["dataset"]),
            str(row["n_per_class"]),
            escape(row["backbone"]),
            code(row["strategy"]),
            str(row["seed"]),
            escape(_short(row["error"] or NONE)),
        ]
        for row in found[:MAX_LISTED]
    ]
    header = ["status", "dataset", "n", "backbone", "strategy", "seed", "error"]
    return Table(header, lines, right_from=9)


def _short(error: str, length: int = 160) -> str:
    """The last line of an error is its message."""
    line = error.strip().splitlines()[-1] if error.strip() else error
    return line if len(line) <= length else f"{line[: length - 1]}…"

"""Draws a study's figures. The numbers come from `figure_data` and `verdict`; here is only drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.figure_data import costs, drawn, panels
from reports.figures_cost import cost
from reports.figures_curves import curves
from reports.figures_forest import forest
from reports.figures_matrix import matrix
from reports.figures_ranking import ranking
from reports.figures_ranks import ranks
from reports.figures_style import save, style
from reports.figures_transferability import transferability
from reports.ranking import rank
from reports.ranks import rank_test
from reports.records import Row
from reports.transferability_text import Section
from reports.verdict import Cell


def draw(
    document: dict[str, Any],
    rows: Sequence[Row],
    cells: Sequence[Cell],
    folder: Path,
    transfer: Section | None = None,
) -> dict[str, Path]:
    """Write all figures as PNG into `folder`; those without data are left out.

    What an earlier report left there is removed first.
    """
    rule = document["matrix"]
    order = drawn(rows, cells, rule.get("baseline"))
    chosen = [row for row in rows if row["strategy"] in order]
    with style():
        made = {
            "matrix": matrix(cells, document),
            "curves": curves(panels(chosen), order, rule["small_at_most"]),
            "forest": forest(cells, rule["margin"]),
            "ranking": ranking(rank(document, rows), rule.get("baseline"), rule["margin"]),
            "ranks": ranks(rank_test(rows), rule.get("baseline")),
            "cost": cost([(cell, costs(rows, cell)) for cell in cells], order),
            "transferability": transfer and transferability(transfer.outcomes, transfer.predictions),
        }
        for name in made:
            (folder / f"{name}.png").unlink(missing_ok=True)
        return {name: save(figure, folder / f"{name}.png") for name, figure in made.items() if figure}

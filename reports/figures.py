"""Draws a study's figures. The numbers come from `analysis`; here is only drawing."""

from __future__ import annotations

from pathlib import Path

from bench.core.schema import Metric
from reports.analysis import Analysis
from reports.figure_data import costs, drawn, panels
from reports.figures_cost import MEMORY, cost
from reports.figures_curves import curves
from reports.figures_forest import forest
from reports.figures_matrix import matrix
from reports.figures_networks import by_network
from reports.figures_ranking import ranking
from reports.figures_ranks import ranks
from reports.figures_style import save, style
from reports.figures_sweep import over_hyperparameter
from reports.figures_transferability import transferability
from reports.figures_tuning import history, tuning


def draw(found: Analysis, folder: Path) -> dict[str, Path]:
    """Write all figures as PNG into `folder`; those without data are left out.

    What an earlier report left there is removed first.
    """
    document, rows, cells = found.document, found.rows, found.cells
    rule, transfer = document["matrix"], found.transfer
    order = drawn(rows, cells, rule.get("baseline"))
    memory = [(cell, costs(rows, cell, Metric.PEAK_MEMORY)) for cell in cells]
    chosen = [row for row in rows if row["strategy"] in order]
    with style():
        made = {
            "matrix": matrix(cells, document, found.before),
            "curves": curves(panels(chosen), order, rule["small_at_most"]),
            "forest": forest(cells, rule["margin"]),
            "tuning": tuning([gain for gain in found.gains if gain.strategy in order], rule["rule"]),
            "history": history(found.searches, order),
            "ranking": ranking(found.ranking, rule.get("baseline"), rule["margin"]),
            "ranks": ranks(found.ranks, rule.get("baseline")),
            "cost": cost([(cell, costs(rows, cell)) for cell in cells], order),
            "memory": None if found.on_cpu else cost(memory, order, MEMORY),
            "sweep": found.sweep and over_hyperparameter(found.sweep.sweep, found.sweep.panels),
            "networks": by_network(found.networks, rule["margin"]),
            "transferability": transfer and transferability(transfer.outcomes, transfer.predictions),
        }
        for name in made:
            (folder / f"{name}.png").unlink(missing_ok=True)
        return {name: save(figure, folder / f"{name}.png") for name, figure in made.items() if figure}

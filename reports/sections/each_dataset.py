"""Each dataset: the verdicts of cells with several datasets, dataset by dataset."""

from __future__ import annotations

from math import isnan

from reports.analysis.each_dataset import Apart, Spread
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell
from reports.render.blocks import Block, Caption, Heading, Items, Table
from reports.render.text import NONE, code, interval, p_phrase, points
from reports.render.words import SYMBOL, cell_title, levels


def section(study: Analysis) -> list[Block]:
    """Where a cell has several datasets."""
    found = study.apart
    if not found:
        return []
    header = ["cell", "dataset", "verdict", "rule's pick", "best", "regret, points", "seeds"]
    return [
        Heading("Each dataset"),
        Items([_differ(one.name, one.spread) for one in found if one.spread]),
        Table(
            header,
            [_line(one, name, cell) for one in found for name, cell in one.cells.items()],
            right_from=5,
        ),
        Caption(f"""
            The cells of several datasets, each dataset judged by itself by the same tests, at the level of its cell
            ({levels(study.cells)}). Each of these verdicts has that error rate for itself; over many datasets errors add
            up. The verdict of the cell is on the average over its datasets.
        """),
    ]


def _line(found: Apart, dataset: str, cell: Cell) -> list[str]:
    regret = NONE if isnan(cell.regret) else points(cell.regret)
    bounds = "" if isnan(cell.regret) else f" {interval(cell.regret_low, cell.regret_high)}"
    return [
        cell_title(found.name),
        code(dataset),
        f"{SYMBOL[cell.verdict]} {cell.verdict}",
        code(cell.rule) if cell.rule else NONE,
        code(cell.best) if cell.best else NONE,
        f"{regret}{bounds}",
        str(cell.n_units),
    ]


def _differ(name: str, spread: Spread) -> str:
    p = "" if isnan(spread.p) else f"; p {p_phrase(spread.p)} of no difference between them"
    return (
        f"**{cell_title(name)}**: what {code(spread.strategy)} gains over the rule's pick differs between the datasets, "
        f"from {points(spread.low, sign=True)} to {points(spread.high, sign=True)} points: a standard deviation of "
        f"{points(spread.sd)} points beyond what seeds explain{p}."
    )

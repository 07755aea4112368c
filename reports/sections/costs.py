"""What it costs: training time, memory, energy and trainable parameters of each strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bench.core.schema import Metric, Status
from reports.analysis.costs import by_strategy, costs, mean_metric
from reports.analysis.rows import Row
from reports.analysis.study import Analysis
from reports.figures.cost import MEMORY, cost
from reports.render.blocks import Block, Caption, Figure, Heading, Paragraph, Table
from reports.render.text import code, quantity, seconds, when
from reports.render.words import NO_RUN, cell_title, selection

COLUMNS: list[tuple[str, str, Callable[[float | None], str]]] = [
    ("training", Metric.TRAIN_SECONDS, seconds),
    ("peak memory", Metric.PEAK_MEMORY, lambda value: quantity(value, "B", 1024)),
    ("energy", Metric.ENERGY, lambda value: quantity(value, "J")),
    ("trainable", Metric.PARAMS_TRAINABLE, quantity),
]


def section(study: Analysis) -> list[Block]:
    if not any(row["status"] == Status.FINISHED for row in study.rows):
        return [Heading("What it costs"), Paragraph(NO_RUN)]
    return [
        Heading("What it costs"),
        *_figures(study),
        cost_table(study.rows),
        Caption(_caption(study)),
    ]


def _figures(study: Analysis) -> list[Figure]:
    """Accuracy over time, and on other devices than CPUs over memory, where these are known."""
    time, memory = (
        [(cell, found) for cell in study.cells if (found := costs(study.rows, cell, metric))]
        for metric in (Metric.TRAIN_SECONDS, Metric.PEAK_MEMORY)
    )
    dots = "Named are the rule's picks, the baseline and the best of each cell; dots: the others."
    of_time = f"""
        Mean test accuracy over mean training time of the finished runs. Ring: the rule's pick. Line: Pareto
        front of time and accuracy. {when(study.many, dots)} {selection(study.document)}
    """
    of_memory = "The same over the peak memory of the device that trains, parameters and optimiser included."
    figures = []
    if time:
        draw = partial(cost, time, study.shown)
        figures.append(Figure("cost", "Training time against test accuracy, per cell", draw, of_time))
    if memory and not study.on_cpu:
        draw = partial(cost, memory, study.shown, MEMORY)
        figures.append(Figure("memory", "Peak memory against test accuracy, per cell", draw, of_memory))
    return figures


def _caption(study: Analysis) -> str:
    on_cpu = "; on CPU it is the process' peak resident size, which earlier runs of the process share"
    energy = """Energy: of the whole device, by its own counter, while a run was on it: a run's own where it was alone."""
    as_one = "Of runs that were trained as one, training that all shared counts for each by its equal part."
    unequal = "Where runs are missing, the means of a cell are not over the same sizes and seeds."
    vectorized = any(row[Metric.VECTORIZED_RUNS] for row in study.rows)
    unfinished = any(row["status"] != Status.FINISHED for row in study.all_rows)
    return f"""
        Means over finished runs. Training: seconds of optimisation, apart from preparation, evaluation and logging. Peak
        memory: of the device that trains{when(study.on_cpu, on_cpu)}. Trainable: parameters.
        {when(_any_energy(study.rows), energy)} {when(vectorized, as_one)} {when(unfinished, unequal)}
    """


def cost_table(rows: Sequence[Row]) -> Table:
    """Means over finished runs, per cell and strategy; energy where any run could read it."""
    shown = [column for column in COLUMNS if column[1] != Metric.ENERGY or _any_energy(rows)]
    lines = [
        [
            cell_title(cell),
            code(strategy),
            *(show(mean_metric(found, key)) for _, key, show in shown),
            str(len(found)),
        ]
        for cell, strategy, found in by_strategy(rows)
    ]
    return Table(["cell", "strategy", *(name for name, *_ in shown), "runs"], lines, right_from=2)


def _any_energy(rows: Sequence[Row]) -> bool:
    return any(row.get(Metric.ENERGY) for row in rows)

"""Every alternative against the rule's pick, cell by cell: the differences that the verdicts rest on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isnan

from reports.analysis.bootstrap import FEWEST_DATASETS, FEWEST_SEEDS, Resampled, resampled
from reports.analysis.study import Analysis
from reports.analysis.verdict import Cell
from reports.figures.forest import forest
from reports.render.blocks import Block, Caption, Figure, Paragraph, Table
from reports.render.text import NONE, code, interval, p_value, points, when
from reports.render.words import cell_title, levels, selection


def section(study: Analysis) -> list[Block]:
    compared = [cell for cell in study.cells if any(c.known for c in cell.comparisons)]
    if not compared:
        return [Paragraph("No alternative has two results to compare with the rule's pick.")]
    return [
        Figure(
            "forest",
            "Every alternative minus the rule's pick, per cell",
            partial(forest, compared, study.margin),
            _caption(study),
        ),
        differences(study.cells),
        Caption(f"""
            n: seeds in which both have all results, on every dataset. Differences in percentage points. Intervals: each by
            itself; simultaneous: Bonferroni over the alternatives of a cell. p: one-sided, of "not better than the
            rule's pick", Holm's correction over the same. Level: {levels(study.cells)}.
            {when(study.document.race, "An alternative that got no more seeds is as the look found it that showed so.")}
        """),
        *_bootstrap(study),
    ]


def _caption(study: Analysis) -> str:
    return f"""
        Paired differences of test accuracy, alternative minus the rule's pick. Thick: each one's own interval (Student t, at
        the level of its cell); thin: intervals that hold for all alternatives of the cell together (Bonferroni). Grey
        band: the margin of ±{points(study.margin)} points. Orange: better than the rule (Holm's step-down test, which may
        show more than the thin intervals); green: not better by the margin; grey: not known. An arrow head: the interval
        goes on. n per line is in the next table. {selection(study.document)}
    """


def _bootstrap(study: Analysis) -> list[Block]:
    """Intervals by resampling, where seeds or datasets are many enough for them."""
    found = [one for cell in study.cells for one in resampled(study.rows, cell)]
    if not found:
        return [
            Paragraph(f"""
                Bootstrap intervals are left out: below {FEWEST_SEEDS} seeds of one dataset, or {FEWEST_DATASETS}
                datasets, they are too narrow (with 3 seeds a 95 % interval covers the truth in 74 % of cases), and two
                datasets say nothing about others.
            """)
        ]
    return [
        bootstrap(found),
        Caption("""
            Bootstrap beside Student's t: BCa over the seeds of one dataset; with three datasets or more, datasets are
            drawn and seeds within them. "Datasets like these": Student's t over the means of the datasets, which alone
            treats them as a sample of others; the bootstrap does so too, but with three datasets it covers 76 to 82 %
            instead of 95 % where strategies' gains differ between datasets. 95 % intervals of each alternative by
            itself. Verdicts do not use them.
        """),
    ]


def differences(cells: Sequence[Cell]) -> Table:
    """Each alternative minus the rule's pick, the largest first."""
    lines = [
        [
            cell_title(cell.name),
            code(c.strategy),
            points(c.mean, sign=True),
            interval(c.own_low, c.own_high, sign=True) if c.known else NONE,
            interval(c.low, c.high, sign=True) if c.known else NONE,
            p_value(c.p) if c.known else NONE,
            str(c.n)
            if c.datasets == len(cell.measured)
            else f"{c.n} ({c.datasets} of {len(cell.measured)} datasets)",
        ]
        for cell in cells
        for c in sorted(cell.comparisons, key=lambda c: -c.mean if c.n else 1)
    ]
    header = ["cell", "alternative", "minus the rule's pick", "interval", "simultaneous", "p, Holm", "n"]
    return Table(header, lines, right_from=2)


def bootstrap(found: Sequence[Resampled]) -> Table:
    """Bootstrap intervals beside Student's t over datasets."""
    lines = [
        [
            cell_title(one.cell),
            code(one.strategy),
            points(one.mean, sign=True),
            interval(*one.bootstrap, sign=True),
            NONE if isnan(one.like.low) else interval(one.like.low, one.like.high, sign=True),
            f"{one.datasets} × {one.n}",
        ]
        for one in found
    ]
    header = [
        "cell",
        "alternative",
        "minus the rule's pick",
        "bootstrap",
        "datasets like these",
        "datasets × seeds",
    ]
    return Table(header, lines, right_from=2)

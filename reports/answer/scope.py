"""What the evidence covers and what it does not, and how to make the page again."""

from __future__ import annotations

from collections import Counter, defaultdict

from bench.core.schema import Status
from reports.answer.overview import Overview
from reports.render.blocks import Block, Heading, Items, Paragraph, Table
from reports.render.text import code, escape, listed, plural


def section(overview: Overview) -> list[Block]:
    document = overview.document
    return [
        Heading("What this covers, and what it does not"),
        Items(_limits(overview)),
        _table(overview),
        Heading("Made from", level=3),
        Paragraph(
            f"{plural(len(overview.rows), 'run')} of study {code(document.name)}, {overview.hours:.1f} hours of training "
            f"and evaluation with their searches. This page is generated from the shipped evidence alone: `bench answer`."
        ),
    ]


def _limits(overview: Overview) -> list[str]:
    document, rows = overview.document, overview.rows
    sizes = sorted({row["n_per_class"] for row in rows})
    seeds = len({row["seed"] for row in rows})
    total = max((row["params_total"] or 0 for row in rows), default=0)
    pixels = document.train.image_size
    return [
        f"Networks: {listed([code(name) for name in overview.networks])}, of at most {total / 1e6:.1f} million "
        f"parameters{f', at {pixels} px' if pixels else ''}. Larger networks and Transformers may differ.",
        f"{plural(len(overview.datasets), 'dataset')}, at {listed([str(n) for n in sizes])} images per class: nothing is "
        "said of other numbers, and nothing of detection or segmentation.",
        *_diverged(overview),
        f"Budgets of CPUs: {document.train.epochs:g} epochs"
        f"{f', at least {document.train.min_steps} steps' if document.train.min_steps else ''}, {plural(seeds, 'seed')} a "
        "dataset. Longer training may favour training more.",
        "Which dataset is similar to the source is declared by the study, by common sense; the section on similarity says "
        "what a measured distance tells instead.",
    ]


def _diverged(overview: Overview) -> list[str]:
    """Runs whose loss left the numbers: they have no accuracy to be compared, and would be missed in silence."""
    lost = [row for row in overview.study.rows if row["status"] == Status.DIVERGED]
    if not lost:
        return []
    counts = Counter((row["strategy"], row["dataset"]) for row in lost)
    named = listed(
        [f"{code(strategy)} on {code(dataset)} ({n})" for (strategy, dataset), n in counts.items()]
    )
    return [f"Runs that diverged are not in the means, which flatters their strategies: {named}."]


def _table(overview: Overview) -> Table:
    sizes: dict[str, set[int]] = defaultdict(set)
    networks: dict[str, set[str]] = defaultdict(set)
    for row in overview.rows:
        sizes[row["dataset"]].add(row["n_per_class"])
        networks[row["dataset"]].add(row["backbone"])
    lines = [
        [
            code(entry.label),
            escape(entry.similarity),
            str(len(entry.classes) or "–"),
            ", ".join(map(str, sorted(sizes[entry.label]))),
            listed([code(name) for name in sorted(networks[entry.label])]),
        ]
        for entry in overview.document.datasets
        if entry.label in sizes
    ]
    return Table(["dataset", "declared", "classes", "images per class", "networks"], lines, right_from=2)

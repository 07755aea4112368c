"""The title, the question, and what a reader must know before the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.core.schema import Metric, Status
from reports.analysis.rows import Row
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Heading, Paragraph, Quote
from reports.render.text import escape, listed, plural


def section(study: Analysis) -> list[Block]:
    question = study.document.question
    return [
        Heading(escape(study.name), level=1),
        *([Quote(escape(question))] if question.strip() else []),
        Paragraph(progress(study.all_rows)),
        Paragraph(micro_batched(study.rows)),
    ]


def progress(rows: Sequence[Row]) -> str:
    """How much of the plan is in; '' when all of it is."""
    counts = Counter(row["status"] for row in rows)
    done = counts.pop(Status.FINISHED, 0)
    if done == len(rows):
        return ""
    rest = listed([f"{n} {status}" for status, n in counts.most_common()])
    note = f"**{done} of {len(rows)} planned runs have finished** ({rest})."
    if done and (counts[Status.MISSING] or counts[Status.RUNNING] or counts[Status.KILLED]):
        note += " The study is unfinished: cells whose runs are missing have estimates and no verdict yet."
    return note


def micro_batched(rows: Sequence[Row]) -> str:
    """Which runs did not fit into a device's memory as their study asks; '' where all did."""
    at_once = [int(size) for row in rows if (size := row[Metric.MICRO_BATCH])]
    if not at_once:
        return ""
    images = " to ".join(str(n) for n in sorted({min(at_once), max(at_once)}))
    return (
        f"**{plural(len(at_once), 'run')} did not fit into the device's memory**: their batches went through the network "
        f"in parts, {images} images at a time (`{Metric.MICRO_BATCH}`). Losses and gradients are those of whole batches, "
        "but BatchNorm layers that train normalised each part by itself, and the seconds hold a second forward pass."
    )

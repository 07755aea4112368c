"""The data: datasets, and what was remarked of them and of the backbones."""

from __future__ import annotations

from typing import Any

from reports.analysis.study import Analysis
from reports.render.blocks import Block, Heading, Item, Items, Paragraph
from reports.render.text import code, escape, when


def section(study: Analysis) -> list[Block]:
    remarks = _remarks(study.document)
    return [
        Heading("Data"),
        Items([_dataset(dataset) for dataset in study.document["datasets"]]),
        Paragraph(when(remarks, "Remarks:")),
        Items(remarks),
    ]


def _dataset(dataset: dict[str, Any]) -> Item:
    similarity = dataset.get("similarity_text") or dataset["similarity"]
    sizes = ", ".join(map(str, dataset["n_per_class"]))
    line = (
        f"{code(dataset['label'])}: {escape(dataset['name'])}, {escape(similarity)}, {sizes} images per class"
    )
    return Item(line, [escape(text) for text in dataset.get("data_text") or []])


def _remarks(document: dict[str, Any]) -> list[str]:
    """Notes that are not among what is said of the dataset anyway."""
    return [
        f"{code(named['label'])}: {escape(note)}"
        for named in [*document["datasets"], *document["backbones"]]
        for note in named.get("notes") or []
        if note not in (named.get("data_text") or [])
    ]

"""The data: datasets, and what was remarked of them and of the backbones."""

from __future__ import annotations

from bench.core.records.study import DatasetRecord, StudyRecord
from reports.analysis.study import Analysis
from reports.render.blocks import Block, Heading, Item, Items, Paragraph
from reports.render.text import code, escape, when


def section(study: Analysis) -> list[Block]:
    remarks = _remarks(study.document)
    return [
        Heading("Data"),
        Items([_dataset(dataset) for dataset in study.document.datasets]),
        Paragraph(when(remarks, "Remarks:")),
        Items(remarks),
    ]


def _dataset(dataset: DatasetRecord) -> Item:
    similarity = dataset.similarity_text or dataset.similarity
    sizes = ", ".join(map(str, dataset.n_per_class))
    line = f"{code(dataset.label)}: {escape(dataset.name)}, {escape(similarity)}, {sizes} images per class"
    return Item(line, [escape(text) for text in dataset.data_text])


def _remarks(document: StudyRecord) -> list[str]:
    """Notes that are not among what is said of the dataset anyway."""
    notes = [(d.label, note) for d in document.datasets for note in d.notes or () if note not in d.data_text]
    notes += [(b.label, note) for b in document.backbones for note in b.notes or ()]
    return [f"{code(label)}: {escape(note)}" for label, note in notes]

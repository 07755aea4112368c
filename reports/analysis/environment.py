"""What the runs were executed on and with."""

from __future__ import annotations

import json
from collections import Counter

from bench.core.schema import Tag
from reports.analysis.rows import StoredStudy

KINDS = [
    ("device", Tag.DEVICE),
    ("precision", Tag.PRECISION),
    ("versions", Tag.VERSIONS),
    ("commit", Tag.GIT_COMMIT),
]


def environment(study: StoredStudy) -> list[tuple[str, list[tuple[str, int]]]]:
    """Devices, number formats, package versions and commits of the runs, each with the number of runs."""
    counts = [
        (name, Counter(_plain(run.tags[tag]) for run in study.runs if run.tags.get(tag)))
        for name, tag in KINDS
    ]
    return [(name, found.most_common()) for name, found in counts if found]


def _plain(tag: str) -> str:
    """A tag that holds a JSON object as `torch 2.13.0, timm 1.0.31`."""
    try:
        content = json.loads(tag)
    except ValueError:
        return tag
    return ", ".join(f"{key} {value}" for key, value in content.items()) if isinstance(content, dict) else tag

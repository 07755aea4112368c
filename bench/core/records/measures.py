"""Measures of similarity and transferability of one dataset at one size on one backbone: see docs/similarity.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MeasuresRecord:
    """Attributes:
    backbone: Its label.
    images: Labelled images that the measures were taken of; 0 where none was taken.
    values: By `bench.core.schema.Measure`.
    missing: Why a measure has no value, in words, by measure.
    """

    backbone: str
    n_per_class: int
    images: int = 0
    classes: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

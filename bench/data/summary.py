"""What the driver is told of a decoded dataset. Apart from the images: what a job returns is read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A decoded dataset, in words."""

    num_classes: int
    smallest_class: int  # images of it in the pool, once duplicates are excluded
    notes: list[str]
    classes: list[str]  # their names, in the order of their numbers

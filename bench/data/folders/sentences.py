"""What is known of a dataset, in words: for the plan and the report. Torch-free."""

from __future__ import annotations

from statistics import median

from bench.core.errors import shown
from bench.data.family import DatasetInfo

_NAMED = 6  # classes


def sentences(info: DatasetInfo) -> list[str]:
    """Classes and counts, then what was noted: where the test set comes from, what is left unused or left out."""
    counted = [text for text in (_classes(info), _test(info)) if text]
    return ["; ".join(counted)] * bool(counted) + [shown(note) for note in info.notes]


def _classes(info: DatasetInfo) -> str:
    if not info.classes:
        return ""
    first = ", ".join(shown(name) for name in info.classes[:_NAMED])
    more = f" and {len(info.classes) - _NAMED} more" if len(info.classes) > _NAMED else ""
    text = f"{len(info.classes):,} classes ({first}{more})"
    return f"{text}, {_each(info.pool_counts)} to train and validate on" if info.pool_counts else text


def _each(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    if low == high:
        return f"{low:,} images of each"
    return f"{low:,} to {high:,} images of each (median {median(counts):,g})"


def _test(info: DatasetInfo) -> str:
    return "" if info.test_count is None else f"{info.test_count:,} images to test on"

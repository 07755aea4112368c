"""Rows as a pandas DataFrame, apart from `records` because pandas takes half a second to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.core.schema import END_METRICS
from reports.analysis.rows import COLUMNS


def to_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Columns in the order of `COLUMNS`, metrics as float64: nan where a value is missing."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(dict.fromkeys(END_METRICS, "float64"))

"""Rows as a pandas DataFrame, apart from `records` because pandas takes half a second to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.core.records.predictions import Predictions
from bench.core.schema import END_METRICS
from reports.analysis.rows import COLUMNS


def to_frame(
    rows: Sequence[dict[str, Any]], predictions: Sequence[Predictions | None] | None = None
) -> pd.DataFrame:
    """Columns in the order of `COLUMNS`, metrics as float64: nan where a value is missing.

    predictions: of each row, for a column of that name.
    """
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(END_METRICS, "float64"))
    if predictions is None:
        return frame
    return frame.assign(predictions=pd.Series(list(predictions), index=frame.index, dtype=object))

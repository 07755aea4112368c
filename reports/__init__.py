"""From the store to a report: rows, a DataFrame, statistics, figures, markdown and HTML. Never torch.

    rows(name)   list of dicts, fast (no pandas)        load(name)   the same as a pandas.DataFrame
    write(name)  OUT/NAME/report.md, report.html and figures

Reading order: records (plan x store) -> stats -> verdict -> figure_data, figures* -> words, tables ->
report, html.
Importing this package is cheap; each function imports what it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["load", "rows", "write"]


def rows(name: str, store: str | None = None) -> list[dict[str, Any]]:
    """One JSON-able dict per planned run of study `name`; None for what is not known. See `reports.records`.

    store: an MLflow tracking URI; by default MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder.
    Raises `UserError` where the store has no such study.
    """
    from reports.records import read

    return read(name, store).rows


def load(name: str, store: str | None = None) -> DataFrame:
    """The rows of `rows` as a tidy DataFrame: one row per planned run, metrics as floats (nan: unknown)."""
    from reports.frame import to_frame

    return to_frame(rows(name, store))


def write(name: str, store: str | None = None, out: Path = Path("reports/out")) -> Path:
    """Write `out/name/report.md`, its figures and a self-contained report.html; return that folder.

    Works on unfinished studies. Raises `UserError` where the store has no such study.
    """
    from reports.report import write as write_report

    return write_report(name, store, out)

"""From the store to a report: rows, statistics, figures, markdown and HTML. Never torch.

    analysis/  numbers and enums: rows (plan joined with the store), statistics, verdicts
    sections/  one file a section of the report: its table, caption, sentences, figures, and when it is shown
    figures/   drawing only
    render/    blocks to markdown and HTML

`report.py` lists the sections in order. Importing this package is cheap; each function imports what it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["load", "rows", "write"]


def rows(name: str, store: str | None = None) -> list[dict[str, Any]]:
    """The planned runs of a study, a JSON-able dict each, as `bench runs` lists them. Fast: no pandas.

    Args:
        name: of the study, as in its file.
        store: an MLflow tracking URI; by default MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder.

    Returns:
        Rows in the plan's order, with the keys `reports.analysis.rows.COLUMNS`. Accuracies are fractions, times
        seconds, memory bytes; None for what is not known.

    Raises:
        UserError: the store has no such study, or cannot be read.
    """
    from reports.analysis.rows import read

    return [dict(row) for row in read(name, store).rows]


def load(name: str, store: str | None = None, predictions: bool = False) -> DataFrame:
    """The planned runs of a study as a tidy DataFrame, to analyse them further.

    Args:
        name: of the study, as in its file.
        store: an MLflow tracking URI; by default MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder.
        predictions: add a column of that name, with what each finished run says of each test image: a
            `bench.core.records.predictions.Predictions`, None where a run keeps none. A file a run is read for it.

    Returns:
        One row per planned run, columns as `rows` has keys; metrics are float64, nan where they are not known.

    Raises:
        UserError: the store has no such study, or cannot be read, or predictions in it are damaged.
    """
    from reports.analysis.frame import to_frame
    from reports.analysis.rows import read

    study = read(name, store)
    rows = [dict(row) for row in study.rows]
    if not predictions:
        return to_frame(rows)
    from reports.analysis.predictions import column

    return to_frame(rows, column(study))


def write(
    name: str,
    store: str | None = None,
    out: Path = Path("reports/out"),
    *,
    peek: bool = False,
    without_failed: bool = False,
) -> Path:
    """Write a study's report: report.md, its figures, and a report.html that needs no other file.

    The study may be unfinished. An earlier report of the same name is replaced. Each look at verdicts is entered into the
    study's ledger in the store, as it uses up a part of their error rate (docs/statistics.md, "Looking again").

    Args:
        name: of the study, as in its file.
        store: an MLflow tracking URI; by default MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder.
        out: the folder of reports.
        peek: estimates only, where the store holds no look yet: no verdict, and nothing is used up or written.
        without_failed: verdicts do not wait for runs that have failed.

    Returns:
        The report's folder, `out/name`, with characters replaced that no folder's name may have.

    Raises:
        UserError: the store has no such study, cannot be read, or a look cannot be entered into its ledger.
    """
    from reports.report import write as write_report

    return write_report(name, store, out, peek, without_failed)

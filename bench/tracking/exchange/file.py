"""The file of an exported study: Apache Parquet, one row a run, a typed column for each tag, parameter and metric.

Columns, so that any tool reads it without this program (`pandas.read_parquet`): `mlflow_run_id`, `name`,
`mlflow_status`, `start_time` and `end_time` (milliseconds since 1970), `tag.KEY` and `param.KEY` (text), `metric.KEY`
(float64, last values, nan where nan was logged), `predictions` (bytes of `predictions.npz`, where they were asked for).
What a run does not have is null. The study document is JSON, compressed by zlib, under the key `bench.study` of the
file's metadata.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.records.runs import RunRecord
from bench.core.records.study import StudyRecord
from bench.storage.files import replaced

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
"""Of the format. One that is newer than this is refused, never guessed at."""

VERSION_KEY, STUDY_KEY = b"bench.export", b"bench.study"
OWN = ("mlflow_run_id", "name", "mlflow_status", "start_time", "end_time")
"""Columns that every run has."""

LARGEST = 2**28
"""Bytes, unpacked, that a study document may have: a plan of 100,000 runs takes a fifth of it."""

PREFIXES = {"tags": "tag.", "params": "param.", "metrics": "metric."}
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Exported:
    """What a file holds.

    Attributes:
        study: The study document.
        runs: Searches and trials, planned runs, and the study's own run, which holds its ledger of looks.
        predictions: By MLflow's id in `runs`: the bytes of `predictions.npz`.
    """

    study: StudyRecord
    runs: Sequence[RunRecord]
    predictions: Mapping[str, bytes]

    def count(self, purpose: str) -> int:
        """How many runs of a purpose there are, one of `Purpose`."""
        return sum(run.purpose == purpose for run in self.runs)


def write(path: Path, content: Exported) -> None:
    """Write the file, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, pa.Array] = {
        "mlflow_run_id": pa.array([run.mlflow_run_id for run in content.runs], pa.string()),
        "name": pa.array([run.name for run in content.runs], pa.string()),
        "mlflow_status": pa.array([run.mlflow_status for run in content.runs], pa.string()),
        "start_time": pa.array([run.start_time for run in content.runs], pa.int64()),
        "end_time": pa.array([run.end_time for run in content.runs], pa.int64()),
    }
    for field, prefix in PREFIXES.items():
        kind = pa.float64() if field == "metrics" else pa.string()
        for key in sorted({key for run in content.runs for key in getattr(run, field)}):
            values = [getattr(run, field).get(key) for run in content.runs]
            columns[prefix + key] = pa.array(values, kind)  # from lists: null is absent, nan stays nan
    if content.predictions:
        found = [content.predictions.get(run.mlflow_run_id) for run in content.runs]
        columns[PREDICTIONS] = pa.array(found, pa.binary())
    document = zlib.compress(json.dumps(content.study.to_json(), separators=(",", ":")).encode(), 9)
    table = pa.table(columns).replace_schema_metadata(
        {VERSION_KEY: str(VERSION).encode(), STUDY_KEY: document}
    )
    with replaced(path) as aside:
        pq.write_table(table, aside, compression="zstd", compression_level=19)


def read(path: Path) -> Exported:
    """What `write` wrote. Raises `UserError` for a file that is none, is damaged, or is of a later version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        return _content(table)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: not an exported study, or damaged: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _content(table: pa.Table) -> Exported:
    metadata = table.schema.metadata or {}
    if VERSION_KEY not in metadata:
        raise UserError("a Parquet file, but not an exported study")
    if int(metadata[VERSION_KEY]) > VERSION:
        raise UserError(
            f"exported by a later version (format {int(metadata[VERSION_KEY])}, known here: {VERSION})"
        )
    study = StudyRecord.from_json(json.loads(_unpacked(metadata[STUDY_KEY])))
    own = {name: table.column(name).to_pylist() for name in OWN}
    parts = {field: _by_run(table, prefix) for field, prefix in PREFIXES.items()}
    runs = [
        RunRecord(
            own["mlflow_run_id"][i],
            own["name"][i],
            own["mlflow_status"][i],
            own["start_time"][i],
            own["end_time"][i],
            "",
            parts["tags"][i],
            parts["params"][i],
            parts["metrics"][i],
        )
        for i in range(table.num_rows)
    ]
    kept = table.column(PREDICTIONS).to_pylist() if PREDICTIONS in table.column_names else []
    ids = own["mlflow_run_id"]
    return Exported(study, runs, {ids[i]: content for i, content in enumerate(kept) if content is not None})


def _unpacked(content: bytes) -> bytes:
    """Raises `ValueError` for more than `LARGEST` bytes: a foreign file is not to fill the memory."""
    machine = zlib.decompressobj()
    found = machine.decompress(content, LARGEST)
    if machine.unconsumed_tail:
        raise ValueError(f"its study document has more than {LARGEST} bytes")
    return found


def _by_run(table: pa.Table, prefix: str) -> list[dict[str, Any]]:
    """The content of the columns with this prefix, row by row, without what is null."""
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for name in table.column_names:
        if name.startswith(prefix):
            key = name.removeprefix(prefix)
            for row, value in zip(rows, table.column(name).to_pylist(), strict=True):
                if value is not None:
                    row[key] = value
    return rows

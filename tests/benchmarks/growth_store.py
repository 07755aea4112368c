"""A store of n finished runs, made in seconds: what the growth of planning and reporting is measured on.

The study, its plan, the study run and the database's tables are real; the runs go into these tables by bulk inserts,
with the identities, tags and parameters that `bench.tracking.runs` gives them, and as many parameters and metrics as
the goal says. Accuracies are multiples of 1/1000 with the spread of a real study.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.schema import END_METRICS, Metric, Purpose, Status, Tag
from bench.planning import load as loading
from bench.planning import plan as planning
from bench.planning.plan import Plan, PlannedRun
from bench.tracking import experiment, provenance
from bench.tracking.plain import run_name
from bench.tracking.runs import flatten, run_tags
from bench.tracking.store import sqlite_path
from tests.benchmarks.growth_study import EPOCHS, SHAPES, STUDY, study_file

PARAMS, METRICS = 50, 33
"""Per run; metrics that are not among the end metrics have a value in each epoch."""

EPOCH_METRICS = [Metric.TRAIN_LOSS, Metric.TRAIN_ACCURACY, Metric.VAL_ACCURACY_EPOCH, Metric.VAL_NLL_EPOCH]


def fill(uri: str, path: Path, cache: Path) -> Plan:
    """Put every run of the study `path` into the store `uri` (SQLite file or PostgreSQL)."""
    plan = planning.make(loading.load(path, []), path, cache)
    experiment_id = experiment.open_store(uri, STUDY)
    experiment.write_study(uri, experiment_id, replace(plan.document(), store=uri))
    location = f"{experiment_id}/runs"
    with _writer(uri) as write:
        for table, columns, rows in _tables(plan.runs, int(experiment_id), location):
            write(table, columns, rows)
    return plan


RUN_COLUMNS = [
    *["source_type", "user_id", "status", "lifecycle_stage", "experiment_id"],
    *["run_uuid", "artifact_uri", "name", "start_time", "end_time"],
]
Table = tuple[str, Sequence[str], Iterable[tuple[Any, ...]]]


def _tables(runs: Sequence[PlannedRun], experiment_id: int, location: str) -> Iterator[Table]:
    ids = [f"{i:032x}" for i in random.Random(1).sample(range(16**12), len(runs))]
    pairs = list(zip(ids, runs, strict=True))
    begin = 1_700_000_000_000
    over = ("UNKNOWN", "", "FINISHED", "active")
    yield (
        "runs",
        RUN_COLUMNS,
        (
            (*over, experiment_id, key, f"{location}/{key}", run_name(run.row()), begin + i, begin + i + 900)
            for i, (key, run) in enumerate(pairs)
        ),
    )
    yield "tags", ["key", "value", "run_uuid"], _tag_rows(pairs)
    yield "params", ["key", "value", "run_uuid"], _param_rows(pairs)
    points = [(key, *point) for key, run in pairs for point in _points(run, begin)]
    columns = ["key", "value", "timestamp", "run_uuid", "step", "is_nan"]
    yield "metrics", columns, ((k, v, t, key, step, False) for key, k, v, t, step in points)
    last = {(key, k): (k, v, t, key, step, False) for key, k, v, t, step in points}
    yield "latest_metrics", columns, last.values()


def _tag_rows(pairs: Iterable[tuple[str, PlannedRun]]) -> Iterator[tuple[Any, ...]]:
    origin = provenance.tags() | {Tag.HOST: "host", Tag.PID: "1:1", Tag.DEVICE: "cpu"}
    over = {Tag.PURPOSE: Purpose.FINAL, Tag.STATUS: Status.FINISHED}
    for key, run in pairs:
        tags = {**run_tags(run.row(), run.spec), **origin, **over, "mlflow.runName": run_name(run.row())}
        yield from ((k, str(v), key) for k, v in tags.items())


def _param_rows(pairs: Iterable[tuple[str, PlannedRun]]) -> Iterator[tuple[Any, ...]]:
    for key, run in pairs:
        params = flatten(run.spec)
        params |= {f"hyperparameter.more.{i}": 0.1 * i for i in range(PARAMS - len(params))}
        yield from ((k, str(v), key) for k, v in params.items())


def _points(run: PlannedRun, begin: int) -> Iterator[tuple[str, float, int, int]]:
    """Key, value, time and step of every logged value."""
    draw = random.Random(run.run_id)
    block = random.Random(f"{run.dataset} {run.images_per_class} {run.spec.seed}").gauss(0, 0.02)
    mean = random.Random(f"{run.dataset} {run.images_per_class} {run.spec.strategy.label}").uniform(0.6, 0.75)
    value = round(mean + block + draw.gauss(0, 0.01), 3)
    for key in END_METRICS:
        other = 0.1 if key.endswith("largest_class") else draw.uniform(0.5, 2)
        yield key, value if key.endswith("accuracy") else other, begin, 0
    more = [f"lr/group_{i}" for i in range(METRICS - len(END_METRICS) - len(EPOCH_METRICS))]
    for key in [*EPOCH_METRICS, *more]:
        yield from ((key, draw.random(), begin + step, step) for step in range(1, EPOCHS + 1))


class _writer:
    """`write(table, columns, rows)` in one transaction: executemany for SQLite, COPY for PostgreSQL."""

    def __init__(self, uri: str) -> None:
        path = sqlite_path(uri)
        self._write: Callable[..., None] = self._insert if path else self._copy
        if path:
            self._database: Any = sqlite3.connect(path)
        else:
            import psycopg

            self._database = psycopg.connect(uri)

    def __enter__(self) -> Callable[..., None]:
        return self._write

    def __exit__(self, *error: object) -> None:
        self._database.commit()
        if not isinstance(self._database, sqlite3.Connection):
            self._database.execute("ANALYZE")  # as the server itself does within a minute
            self._database.commit()
        self._database.close()

    def _insert(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns))
        self._database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def _copy(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        with self._database.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=int, choices=SHAPES)
    parser.add_argument("--store", help="default: mlflow.db in the folder")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    uri = args.store or f"sqlite:///{args.folder.absolute()}/mlflow.db"
    fill(uri, study_file(args.folder, args.runs), args.folder / "cache")
    print(f"{args.runs} runs in {time.perf_counter() - start:.1f} s: {uri}")


if __name__ == "__main__":
    main()

"""What keeping the predictions adds to a run, and what reading them back takes.

    python -m tests.benchmarks.kept_predictions [RUNS]

Ends so many runs (100 by default) of 1,000 test images and 10 classes in an SQLite store, with and without predictions in
turn, as a worker does; then reads all files back. Processor milliseconds per run of this process, and wall milliseconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from bench.core.records.predictions import Predictions
from bench.core.schema import Metric, Purpose, Tag
from bench.execution import worker
from bench.tracking import experiment, store
from bench.tracking.predictions import read_all
from bench.tracking.runs import Tracker
from bench.training.run.prepared_run import Outcome
from tests.support.outages import ROW, SPEC


def predictions(images: int = 1000, classes: int = 10) -> Predictions:
    draw = np.random.default_rng(0)
    label = np.repeat(np.arange(classes), images // classes)
    predicted = np.where(draw.random(images) < 0.8, label, draw.integers(0, classes, images))
    sure = -draw.exponential(0.2, images)
    of_label = np.where(label == predicted, sure, sure - draw.exponential(2.0, images))
    return Predictions.of("0123456789ab", classes, label, predicted, sure, of_label)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of the processor, and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)


def main(runs: str = "100") -> None:
    kept = predictions()
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        tracker = Tracker(uri, experiment.open_store(uri, "s"))
        metrics = {Metric.TEST_ACCURACY: 0.8, Metric.TEST_NLL: 0.5}
        taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for i in range(2 * int(runs)):
            own = kept if i % 2 else None
            log = tracker.start(ROW, SPEC, system_metrics=False)
            outcome = Outcome(metrics, "cpu", "", {}, own)
            taken[bool(own)].append(timed(lambda log=log, outcome=outcome: worker._end(log, outcome)))  # type: ignore[misc]
        for which, name in ((False, "without"), (True, "with predictions")):
            cpu, wall = (median(column) for column in zip(*taken[which], strict=True))
            print(f"end of a run {name}: {cpu:.1f} ms of the processor, {wall:.1f} ms")
        files = list(Path(folder).rglob("predictions.npz"))
        print(f"{len(files)} files of {median(f.stat().st_size for f in files):.0f} bytes")
        stored = store.read_runs(uri, "s", params=(), tagged={Tag.PURPOSE: [Purpose.FINAL]})
        cpu, wall = timed(lambda: read_all(uri, stored))
        print(f"reading them: {cpu / len(files):.2f} ms of the processor a file, {wall / len(files):.2f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])

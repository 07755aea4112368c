"""The tiny study in processes of their own: started, waited for, and what its store then holds."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Tag
from bench.tracking import store
from tests.conftest import TINY_STUDY
from tests.support.commands import BENCH, bench, environment

EPOCHS = 20
"""Runs of a second or two, so that most kills hit one."""


EXACT = (Metric.TEST_NLL, Metric.TEST_ACCURACY, Metric.VAL_ACCURACY)


def args(epochs: int = EPOCHS, seeds: int = 1) -> list[str]:
    """Of `bench run`: 6 runs a seed."""
    return ["run", "tiny.yaml", "--no-report", "--set", f"train.epochs={epochs}", "--set", f"seeds={seeds}"]


def start(folder: Path, seeds: int = 1) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*BENCH, *args(seeds=seeds), "--workers", "2"],
            cwd=folder,
            env=environment(BENCH_CACHE=str(folder.parent / "cache")),
            stdout=log,
            stderr=log,
            preexec_fn=_hear_ctrl_c,
        )


def call(folder: Path, workers: int = 2) -> subprocess.CompletedProcess[str]:
    """The same in this process, which nobody kills; its workers are processes as ever."""
    return bench(folder, *args(), "--workers", str(workers), cache=folder.parent / "cache")


def _hear_ctrl_c() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def study_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    return folder


def final_runs(folder: Path) -> list[RunRecord]:
    runs = store.read_runs(f"sqlite:///{folder / 'mlflow.db'}", "tiny")
    return [run for run in runs if run.tags.get(Tag.PURPOSE) == "final"]


def numbers(folder: Path) -> dict[str, tuple[float, ...]]:
    """run id -> end metrics of its finished run."""
    return {
        run.tags[Tag.RUN_ID]: tuple(run.metrics[key] for key in EXACT)
        for run in final_runs(folder)
        if run.mlflow_status == "FINISHED"
    }


def wait_for(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False

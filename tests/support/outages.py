"""What tests of outages share: machines to be switched off, a study that goes on meanwhile, and what must be there after."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.core.records.planned import PlannedRow
from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Purpose, Tag
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec
from bench.planning import compose
from bench.tracking import store
from bench.tracking.store.client import MlflowClient
from tests.support.commands import BENCH, environment
from tests.support.servers import Postgres, Server, mlflow_machine
from tests.support.tuning_samples import TRAIN

EXACT = (Metric.TEST_NLL, Metric.TEST_ACCURACY, Metric.VAL_ACCURACY)

SPEC = RunSpec(
    DatasetSpec("any"), 10, BackboneSpec("test_resnet", "random"), compose.parse("full", {}), 0, TRAIN
)
ROW = PlannedRow("x", "x", "x", "x", "x", 1, "x", "full", 0)


class Machines:
    """A PostgreSQL server, where there is one, and an MLflow server in front of it that keeps artifacts itself."""

    def __init__(self, folder: Path, stack: ExitStack, postgres: Postgres | None) -> None:
        self.postgres = postgres
        self.database = postgres.database("served") if postgres else f"sqlite:///{folder / 'server.db'}"
        self.mlflow: Server = stack.enter_context(mlflow_machine(self.database, folder, folder / "artifacts"))
        self.folder = folder

    @property
    def url(self) -> str:
        return self.mlflow.url


class Disturbed:
    """`bench run` in a folder of its own, while somebody pulls the plugs of its store."""

    def __init__(self, folder: Path, study: str, *args: str) -> None:
        self.folder = folder
        (folder / "study.yaml").write_text(study)
        with (folder / "log.txt").open("wb") as lines:
            self.process = subprocess.Popen(
                [*BENCH, "run", "study.yaml", "--workers", "2", *args],
                cwd=folder, env=environment(), stdout=lines, stderr=lines,
            )  # fmt: skip

    def __enter__(self) -> Disturbed:
        return self

    def __exit__(self, *failed: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def wait_until(self, condition: Callable[[], bool], seconds: float = 400) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"it ended before its time:\n{self.log}"
            assert time.monotonic() < deadline, self.log
            time.sleep(0.2)

    def end(self, seconds: float = 400) -> None:
        assert self.process.wait(seconds) == 0, self.log
        assert "Traceback" not in self.log, self.log


def final(uri: str, study: str) -> list[RunRecord]:
    return store.read_runs(uri, study, tagged={Tag.PURPOSE: [Purpose.FINAL]})


def epochs_logged(uri: str, study: str) -> int:
    return len(store.metric_history(uri, study, [Metric.TRAIN_LOSS]))


def numbers(uri: str, study: str) -> dict[str, tuple[float, ...]]:
    """run id -> end metrics, each run once and over."""
    runs = final(uri, study)
    assert {run.mlflow_status for run in runs} == {"FINISHED"}, Counter(run.mlflow_status for run in runs)
    found = {run.tags[Tag.RUN_ID]: tuple(run.metrics[key] for key in EXACT) for run in runs}
    assert len(found) == len(runs), "a run is there twice"
    return found


def check_epochs(uri: str, study: str, epochs: int, since: float, until: float) -> int:
    """Every metric of every epoch is there, once. -> how many epochs ended between two moments (s since 1970)."""
    client, during = MlflowClient(uri), 0
    for run in final(uri, study):
        for key in (Metric.TRAIN_LOSS, Metric.TRAIN_ACCURACY, Metric.VAL_ACCURACY_EPOCH):
            points = client.get_metric_history(run.mlflow_run_id, key)
            assert [p.step for p in points] == list(range(1, epochs + 1)), f"{key} of {run.name}"
        during += sum(since < point.timestamp / 1000 < until for point in points)
    return during

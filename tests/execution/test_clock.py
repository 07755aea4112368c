"""The clock is set while a study runs: processes stay who they are, durations and results what they are."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.core import processes
from bench.core.processes import alive, process_mark
from bench.core.records.runs import RunRecord
from bench.core.records.searches import SearchRecord
from bench.core.schema import Metric, Status, Tag
from bench.execution import driver
from bench.execution.executors.inline import InlineExecutor
from bench.planning import load, plan
from bench.storage.places import Places
from bench.tracking import store
from bench.tracking.store import outcome
from bench.training.run.execute import execute
from reports.analysis.rows import read
from tests.conftest import ROOT
from tests.support.displays import Says
from tests.support.faults import STUDY, can_mount
from tests.support.specs import SPEC

HOURS = 3600.0


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """time.time() goes back by two hours every third time it is asked, and forward by five every fifth."""
    real, asked, offset = time.time, itertools.count(1), [0.0]

    def now() -> float:
        n = next(asked)
        offset[0] += 5 * HOURS * (n % 5 == 0) - 2 * HOURS * (n % 3 == 0)
        return real() + offset[0]

    monkeypatch.setattr(time, "time", now)
    return offset


def test_durations_do_not_follow_the_clock(tmp_path: Path, jumping: list[float]) -> None:
    start = time.perf_counter()
    metrics = execute(SPEC, Places(tmp_path, tmp_path), lambda *args: time.time()).metrics
    took = time.perf_counter() - start
    for _ in range(20):
        time.time()
    assert abs(jumping[0]) > HOURS
    seconds = {key: value for key, value in metrics.items() if key.endswith("_seconds")}
    assert seconds and all(0 <= value <= took for value in seconds.values())


def test_a_study_under_a_jumping_clock_is_done_once_and_reported(
    tmp_path: Path, jumping: list[float]
) -> None:
    """With the real store: every run once, the last value of each metric the last one, the report of all of them."""
    (tmp_path / "faulty.yaml").write_text(STUDY)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    planned = plan.make(load.load(tmp_path / "faulty.yaml", []), tmp_path / "faulty.yaml", tmp_path / "cache")
    for _ in range(2):  # the second has nothing to do
        summary = driver.run_study(planned, uri, InlineExecutor, Says(), tmp_path / "out")
        assert summary.exit_code == 0
    final = [run for run in store.read_runs(uri, "faulty") if run.tags[Tag.PURPOSE] == "final"]
    assert len(final) == len(planned.runs) == len({run.tags[Tag.RUN_ID] for run in final})
    assert {run.mlflow_status for run in final} == {"FINISHED"}
    for run in final:
        history = store.metric_history(uri, "faulty", [Metric.TRAIN_LOSS])
        own = [value.value for value in history if value.mlflow_run_id == run.mlflow_run_id]
        assert len(own) == 2 and run.metrics[Metric.TRAIN_LOSS] == own[-1]
    assert {row["status"] for row in read("faulty", uri).rows} == {"finished"}


def tried(status: Status, start: int, mlflow_status: str = "FAILED") -> RunRecord:
    tags = {Tag.STATUS: str(status)}
    return RunRecord(str(status), "", mlflow_status, start, None, "", tags, {}, {})


def test_what_became_of_a_run_is_no_matter_of_start_times() -> None:
    """The clock was set back between a failed try and the next one."""
    failed, killed = tried(Status.FAILED, 900), tried(Status.KILLED, 950)
    diverged, running = tried(Status.DIVERGED, 100), tried(Status.RUNNING, 200, "RUNNING")
    finished = tried(Status.FINISHED, 50, "FINISHED")
    for runs, expected in (
        ([failed, finished, diverged], finished),
        ([failed, diverged, killed], diverged),
        ([failed, running], running),
        ([failed, killed], killed),
    ):
        for order in itertools.permutations(runs):
            assert outcome.choose(order) is expected


def test_the_end_of_a_search_that_was_taken_up_again_is_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow takes the latest time for the last value of a step; the second end is hours before the first."""
    from bench.tracking import experiment
    from bench.tracking.runs import Tracker

    (tmp_path / "faulty.yaml").write_text(STUDY + "tune: {trials: 2}\n")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    planned = plan.make(load.load(tmp_path / "faulty.yaml", []), tmp_path / "faulty.yaml", tmp_path / "cache")
    run = next(run for run in planned.runs if run.tuning)
    tracker = Tracker(uri, experiment.open_store(uri, "faulty"))
    real = time.time
    for accuracy, shift in ((0.5, 0.0), (0.7, -5 * HOURS)):
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        run_id = tracker.open_search(run.row(), run.tuning)
        end = SearchRecord(run.tuning.tuning_id, "2 trials", best=accuracy, seconds=1.0)
        tracker.close_search(run_id, end)
    (search,) = store.read_runs(uri, "faulty")
    assert search.metrics[Metric.TUNED_VAL_ACCURACY] == 0.7


def test_a_mark_outlives_a_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As psutil sees it: the time of the boot moves with the clock, and with it when all processes were started."""
    mark, created = process_mark(), psutil.Process().create_time()
    moved = psutil.boot_time() + 5 * HOURS
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: moved)
    assert psutil.Process().create_time() == pytest.approx(created + 5 * HOURS, abs=2)
    assert alive(mark) and process_mark() == mark


MOVED = """
import sys, psutil
from bench.core.processes import alive
print(alive(sys.argv[1]), psutil.Process(int(sys.argv[2])).create_time())
"""
MOVE_BTIME = r"""
sed -E "s/^btime ([0-9]+)/echo btime \$((\1+18000))/e" /proc/stat > "$1" && mount --bind "$1" /proc/stat && shift && exec "$@"
"""


@pytest.mark.skipif(not can_mount(), reason="needs a /proc/stat of its own, and that root")
def test_a_mark_is_read_alike_where_the_kernel_says_another_time_of_boot(tmp_path: Path) -> None:
    """What a process started after the clock was set reads of one from before."""
    mine = [sys.executable, "-c", MOVED, process_mark(), str(os.getpid())]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["unshare", "-m", "sh", "-c", MOVE_BTIME, "sh", str(tmp_path / "stat"), *mine]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    living, created = done.stdout.split()
    assert float(created) == pytest.approx(psutil.Process().create_time() + 5 * HOURS, abs=2)
    assert living == "True"


def test_marks_tell_processes_and_boots_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        mark = process_mark(child.pid)
        assert alive(mark) and mark != process_mark()
        pid, _, start = mark.partition(":")
        assert not alive(f"{pid}:1{start}") and not alive(f"{os.getpid()}:{start}")
        monkeypatch.setattr(processes, "boot", lambda: "another")
        assert not alive(mark), "the same number and tick after another boot"
        monkeypatch.undo()
        child.kill()
        deadline = time.monotonic() + 10
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(mark), "dead, though nobody has asked for its exit code"
    finally:
        child.kill()
        child.wait()
    assert not alive(mark) and not alive("") and not alive("x:1") and not alive("-1:2")
    with pytest.raises(psutil.NoSuchProcess):
        process_mark(child.pid)

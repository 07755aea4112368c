"""SIGKILL at random moments, then the same command: every run exactly once, and the numbers of an undisturbed study."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import store
from bench.schema import Metric, Tag
from tests.conftest import ROOT, TINY_STUDY
from tests.test_cli import BENCH

EXACT = (Metric.TEST_NLL, Metric.TEST_ACCURACY, Metric.VAL_ACCURACY)


def start(folder: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_CACHE": str(folder.parent / "cache")}
    env.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*BENCH, "run", "tiny.yaml", "--workers", "2"],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            preexec_fn=_hear_ctrl_c,
        )


def _hear_ctrl_c() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def study_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY_STUDY)
    return folder


def final_runs(folder: Path) -> list[dict[str, Any]]:
    runs = store.read_runs(f"sqlite:///{folder / 'mlflow.db'}", "tiny")
    return [run for run in runs if run["tags"].get(Tag.PURPOSE) == "final"]


def numbers(folder: Path) -> dict[str, tuple[float, ...]]:
    """run id -> end metrics of its finished run."""
    return {
        run["tags"][Tag.RUN_ID]: tuple(run["metrics"][key] for key in EXACT)
        for run in final_runs(folder)
        if run["status"] == "FINISHED"
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = study_in(tmp_path_factory.mktemp("kill") / "undisturbed")
    assert start(folder).wait(300) == 0, (folder / "log.txt").read_text()
    return folder


def wait_for(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def disturb(folder: Path, rng: random.Random, whom: str, kills: int) -> int:
    """Start the study and kill `whom` at a random moment once its runs have begun, `kills` times. -> kills that hit."""
    hits = 0
    for _ in range(kills):
        driver = start(folder)
        before = len(final_runs(folder))
        wait_for(lambda n=before, d=driver: len(final_runs(folder)) > n or d.poll() is not None, 120)
        time.sleep(rng.uniform(0, 4))
        children = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
        if whom == "worker":
            workers = [p for p in children if p.num_threads() > 1 and _is_worker(p)]
            if workers:
                rng.choice(workers).kill()
                hits += 1
            driver.wait(300)
        else:
            hits += driver.poll() is None
            driver.kill()
            driver.wait(10)
        assert wait_for(lambda c=children: not any(_alive(p) for p in c), 30), "orphan processes are left"
    return hits


def _is_worker(process: psutil.Process) -> bool:
    """Workers are forked from the fork server: they have no child of their own and its command line."""
    return "forkserver" in " ".join(process.cmdline()) and not process.children()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def check(folder: Path, undisturbed: Path) -> None:
    for _ in range(2):  # a run whose worker died twice is failed, and tried again by the next call
        if start(folder).wait(300) == 0:
            break
    runs = final_runs(folder)
    finished = Counter(run["tags"][Tag.RUN_ID] for run in runs if run["status"] == "FINISHED")
    assert set(finished.values()) == {1}, "a run was done twice"
    assert not [run for run in runs if run["status"] == "RUNNING"], "a run is left RUNNING"
    assert numbers(folder) == numbers(undisturbed)


@pytest.mark.parametrize("whom", ["driver", "worker"])
def test_killed_study_completes_to_the_same_numbers(whom: str, undisturbed: Path, tmp_path: Path) -> None:
    folder = study_in(undisturbed.parent / f"killed-{whom}")
    disturb(folder, random.Random(whom), whom, kills=2)
    check(folder, undisturbed)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_twenty_kills_of_twenty(undisturbed: Path) -> None:
    """Drivers and workers, one kill after another; a study that completes in between is checked, and the next begins."""
    rng, kills, studies = random.Random(20), 0, 0
    while kills < 20:
        folder = study_in(undisturbed.parent / f"killed-{studies}")
        studies += 1
        while kills < 20 and len(numbers(folder)) < len(numbers(undisturbed)):
            kills += disturb(folder, rng, rng.choice(["driver", "driver", "worker"]), kills=1)
        check(folder, undisturbed)
    print(f"{kills} kills in {studies} studies")


def test_ctrl_c_stops_cleanly_and_the_next_call_goes_on(undisturbed: Path) -> None:
    folder = study_in(undisturbed.parent / "interrupted")
    driver = start(folder)
    assert wait_for(lambda: len(final_runs(folder)) > 0, 120)
    time.sleep(0.5)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == 130
    log = (folder / "log.txt").read_text()
    assert "Traceback" not in log and "stopping: the runs under way" in log
    assert not [run for run in final_runs(folder) if run["status"] == "RUNNING"]
    check(folder, undisturbed)


def test_a_second_driver_is_refused(undisturbed: Path) -> None:
    folder = study_in(undisturbed.parent / "twice")
    first = start(folder)
    assert wait_for(lambda: len(final_runs(folder)) > 0, 120)
    assert start(folder).wait(60) == 2
    assert "being run by another process" in (folder / "log.txt").read_text()
    assert first.wait(300) == 0
    check(folder, undisturbed)

"""SIGKILL at random moments, then the same command: every run exactly once, and the numbers of an undisturbed study."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from bench.core.schema import Tag
from tests.support.tiny_study import call, final_runs, numbers, start, study_in, wait_for


@pytest.fixture(scope="module")
def undisturbed(finished_study: Callable[[int], Path]) -> Path:
    folder = finished_study(2)
    assert not (folder / "reports").exists(), "--no-report"
    return folder


@dataclass
class Kills:
    """Kills workers, drivers and both at random moments while studies run."""

    rng: random.Random
    hits: Counter[str] = field(default_factory=Counter)

    def disturb(self, folder: Path, total: int) -> None:
        """Start the study, again and again, until `total` kills have hit or nothing is left to do."""
        while self.hits.total() < total:
            driver = start(folder)
            while driver.poll() is None and self.hits.total() < total:
                self._once(folder, driver)
            if driver.poll() is None:  # enough: the rest is undisturbed
                driver.wait(300)
            if driver.returncode == 0:
                return

    def _once(self, folder: Path, driver: subprocess.Popen[bytes]) -> None:
        """One kill, once a run is under way: what an earlier driver left RUNNING does not count as one."""
        self.wait_for_a_run(folder, driver)
        time.sleep(self.rng.uniform(0, 1.5))
        if driver.poll() is None:
            whom = self.rng.choices(["worker", "driver", "both"], [16, 3, 1])[0]
            self.hits[whom] += self.kill(whom, folder, driver)

    def wait_for_a_run(self, folder: Path, driver: subprocess.Popen[bytes]) -> None:
        begun = wait_for(lambda: driver.poll() is not None or _busy(driver, folder), 120)
        assert begun, (folder / "log.txt").read_text()

    def kill(self, whom: str, folder: Path, driver: subprocess.Popen[bytes]) -> bool:
        """-> whether there was somebody to kill."""
        children, workers = _children(driver), _busy(driver, folder) or _workers(driver)
        if whom != "driver" and workers:
            self.rng.choice(workers).kill()
        if whom != "worker":
            driver.kill()
            driver.wait(10)
            gone = wait_for(lambda: not any(_alive(p) for p in children), 30)
            assert gone, "orphan processes are left"
        return whom != "worker" or bool(workers)


def _running(folder: Path) -> bool:
    return any(run.mlflow_status == "RUNNING" for run in final_runs(folder))


def _children(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(driver.pid).children(recursive=True)
    return []


def _busy(driver: subprocess.Popen[bytes], folder: Path) -> list[psutil.Process]:
    """Workers of this driver that have a run under way."""
    pids = {
        int(run.tags.get(Tag.PID, "0").partition(":")[0])
        for run in final_runs(folder)
        if run.mlflow_status == "RUNNING"
    }
    return [child for child in _children(driver) if child.pid in pids]


def _workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [p for p in _children(driver) if _is_worker(p)]


def _is_worker(process: psutil.Process) -> bool:
    """Workers are forked from the fork server: they have no child of their own, its command line, and threads."""
    with suppress(psutil.Error):
        forked = "forkserver" in " ".join(process.cmdline()) and not process.children()
        return forked and process.num_threads() > 1
    return False


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def check(folder: Path, undisturbed: Path) -> None:
    for _ in range(2):  # a run whose worker died twice is failed, and tried again by the next call
        if call(folder).returncode == 0:
            break
    runs = final_runs(folder)
    finished = Counter(run.tags[Tag.RUN_ID] for run in runs if run.mlflow_status == "FINISHED")
    assert set(finished.values()) == {1}, "a run was done twice"
    assert not [run for run in runs if run.mlflow_status == "RUNNING"], "a run is left RUNNING"
    assert numbers(folder) == numbers(undisturbed)


@pytest.mark.timeout(900)
def test_a_study_that_is_killed_interrupted_and_killed_again_ends_as_if_undisturbed(
    undisturbed: Path,
) -> None:
    """One worker alone, then Ctrl-C, then a worker and the driver at once."""
    folder = study_in(undisturbed.parent / "disturbed")
    kills = Kills(random.Random(20))
    first = start(folder)
    kills.wait_for_a_run(folder, first)
    assert kills.kill("worker", folder, first)
    refused = call(folder)
    assert refused.returncode == 2 and "being run by another process" in refused.stderr
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    log = (folder / "log.txt").read_text()
    assert "Traceback" not in log and "stopping: the runs under way" in log
    assert not _running(folder)

    second = start(folder)
    kills.wait_for_a_run(folder, second)
    assert kills.kill("both", folder, second)
    check(folder, undisturbed)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_hundred_kills(undisturbed: Path) -> None:
    _kill(200, undisturbed, random.Random(200))


def _kill(total: int, undisturbed: Path, rng: random.Random) -> None:
    kills, studies = Kills(rng), 0
    while kills.hits.total() < total:
        folder = study_in(undisturbed.parent / f"killed-{studies}")
        kills.disturb(folder, total)
        check(folder, undisturbed)
        studies += 1
    print(f"{total} kills {dict(kills.hits)} in {studies} studies of {len(numbers(undisturbed))} runs")

"""Beyond the contract (test_contract.py): what each worker sees of the machine, and the process that they are forked from."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from bench.core import devices
from bench.core.jobs import Emit, Ended, Job
from bench.execution.executors.pool import LocalPool


def visible(emit: Emit) -> str | None:
    time.sleep(0.3)  # long enough that both workers get a job
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-abc")
    assert devices.default_workers() == 2
    pool = LocalPool(2, threads=1)
    try:
        events = list(pool.run(Job(str(i), "tests.execution.executors.test_pool:visible") for i in range(2)))
    finally:
        pool.close()
    assert {e.worker: e.result for e in events if isinstance(e, Ended)} == {0: "3", 1: "GPU-abc"}


def test_without_a_gpu_there_is_a_worker_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.cuda_devices() == []
    assert devices.default_workers() == len(os.sched_getaffinity(0))


def test_a_fork_server_that_is_killed_while_it_starts_is_started_again() -> None:
    from multiprocessing import forkserver

    server = forkserver._forkserver  # type: ignore[attr-defined]
    server._stop()
    killed: list[int] = []

    def kill() -> None:
        while server._forkserver_pid is None:
            time.sleep(0.01)
        killed.append(server._forkserver_pid)
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    pool = LocalPool(1, threads=1, preload="bench.core.jobs")  # the job needs nothing else
    try:
        killer.join(30)
        (ended,) = [
            e
            for e in pool.run([Job("0", "tests.execution.executors.test_pool:visible")])
            if isinstance(e, Ended)
        ]
    finally:
        pool.close()
        last = server._forkserver_pid
        server._stop()  # the next pool is to have one that has imported torch
    assert not ended.crash and killed and last not in (None, killed[0])

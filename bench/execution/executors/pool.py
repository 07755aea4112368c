"""A pool of long-lived local processes: imports and data are paid once, a dead worker costs only its own job."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.core import devices
from bench.core.errors import UserError
from bench.core.jobs import Ended, Event, Job, Progress, Started, Stopped
from bench.execution.executors.waiting import Waiting

SERVERS = 3
"""So many times a fork server may be killed while it is asked for one worker."""

GRACE_SECONDS = 20.0
"""How long a stopped worker may take to say in the store that its run was killed."""

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
}
"""glibc: keep freed activations instead of returning them to the kernel at every step (page faults cost 10-65 %)."""


@dataclass
class Worker:
    number: int
    process: mp.process.BaseProcess
    pipe: Connection
    job: Job | None = None


class LocalPool:
    """`workers` processes of `threads` threads each, forked from a server that has imported torch already.

    Where there are GPUs, each worker sees one of them, in turn.
    """

    def __init__(self, workers: int, threads: int, preload: str = "bench.execution.preload") -> None:
        self.workers, self.threads = workers, threads
        self._gpus = devices.cuda_devices()
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload([preload])
        os.environ.update({k: v for k, v in MALLOC.items() if k not in os.environ})
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when the fork server imports torch
        self._pool: list[Worker] = []
        with suppress(EOFError, ConnectionError):  # killed as it starts: `_start` starts it again
            forkserver.ensure_running()  # its imports take seconds, which the caller has for its own

    def _start(self, number: int) -> Worker:
        ours, theirs = self._context.Pipe()
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        for left in reversed(range(SERVERS)):
            process = self._context.Process(
                target=_work, args=(theirs, self.threads, gpu), name=f"worker-{number}", daemon=True
            )
            try:
                process.start()  # by the fork server, which is started again if it is gone
                break
            except (EOFError, ConnectionError):  # it was killed while it was asked
                if not left:
                    raise RuntimeError(
                        "the process that forks workers is killed again and again: out of memory?"
                    ) from None
                time.sleep(0.2)  # until the system says that it is gone
        theirs.close()
        return Worker(number, process, ours)

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        waiting = Waiting(jobs)
        if waiting and not self._pool:
            self._pool = [self._start(i) for i in range(self.workers)]
        while waiting or any(w.job for w in self._pool):
            for worker in self._pool:
                if worker.job is None and waiting:
                    worker.job = waiting.take()
                    yield Started(worker.job, worker.number)
                    self._send(worker)
            busy = {w.pipe: w for w in self._pool if w.job}
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                event = self._receive(worker)
                if event is None:  # the worker died
                    job, code = worker.job, self._replace(worker)
                    assert job
                    yield from waiting.died(job, worker.number, _cause(code))
                else:
                    yield event

    def _send(self, worker: Worker) -> None:
        try:
            worker.pipe.send(worker.job)
        except OSError:  # died while idle; the pipe's end of file is seen by the next `wait`
            return

    def _receive(self, worker: Worker) -> Event | None:
        job = worker.job
        assert job
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            return None
        if kind == "progress":
            return Progress(job, worker.number, *value)
        worker.job = None
        return Ended(job, worker.number, **{kind: value})

    def _replace(self, worker: Worker) -> int | None:
        worker.process.join(5)
        code = worker.process.exitcode
        worker.pipe.close()
        fresh = self._start(worker.number)
        worker.process, worker.pipe, worker.job = fresh.process, fresh.pipe, None
        return code

    def close(self) -> None:
        """SIGTERM to all, then SIGKILL to those that are not gone after a grace period."""
        for worker in self._pool:
            worker.process.terminate()
        for worker in self._pool:
            worker.process.join(GRACE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return (
            f"signal {signal.Signals(-code).name}; out of memory?"
            if code == -9
            else f"signal {signal.Signals(-code).name}"
        )
    return f"exit code {code}"


def _work(pipe: Connection, threads: int, gpu: str | None) -> None:
    """The worker's life, on one GPU or none: jobs from the pipe until it is told to stop or its parent is gone."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # read when CUDA starts, which is in the first job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    try:
        while True:
            job = pipe.recv()
            pipe.send(_call(job, pipe))
    except (Stopped, EOFError, OSError):
        os._exit(0)  # skip the clean-up of libraries that may hang in it; everything worth saving is saved


def _call(job: Job, pipe: Connection) -> tuple[str, Any]:
    try:
        return "result", job.call(lambda done, total: pipe.send(("progress", (done, total))))
    except UserError as error:
        return "user_error", str(error)
    except Exception:
        return "crash", traceback.format_exc()


def _stop(signum: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _die_with_parent() -> None:
    """A SIGKILLed driver cannot say goodbye: its end of this pipe closes, and the worker goes at once."""
    parent = mp.parent_process()
    assert parent
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)

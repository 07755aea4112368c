"""Jobs that executors are tested with, as `tests.support.executor_jobs:NAME`; what they did is in files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.jobs import Emit, Job


def job(function: str, *args: Any, key: str | None = None) -> Job:
    return Job(key or function, f"tests.support.executor_jobs:{function}", args)


def squared(emit: Emit, number: int) -> tuple[int, int]:
    """-> the number and its square."""
    return number, number**2


def refuse(emit: Emit) -> None:
    raise UserError("images/cat: no such folder")


def crash(emit: Emit) -> None:
    raise ZeroDivisionError("a mistake of ours")


def tell(emit: Emit, steps: int, seconds: float) -> str:
    """Tells each of its steps, which take so long."""
    for done in range(1, steps + 1):
        time.sleep(seconds)
        emit(done, steps)
    return "told"


def die(emit: Emit, folder: Path, attempts: int) -> int:
    """Ends its own process by SIGKILL in each of the first `attempts`. -> which attempt this is."""
    number = 1 + len(list(folder.iterdir()))
    (folder / str(number)).touch()
    if number <= attempts:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def last_until_stopped(emit: Emit, folder: Path) -> None:
    """Leaves its process's number, and the name of what ended it, as a run under way does in the store."""
    (folder / "pid").write_text(str(os.getpid()))
    try:
        emit(1, 2)
        while True:
            time.sleep(0.05)
    except BaseException as end:
        (folder / "end").write_text(f"{type(end).__name__} {isinstance(end, Exception)}")
        raise

"""Processes named so that a later one with the same number is told apart, whatever becomes of the clock.

psutil's `create_time` is the time since boot plus the time of the boot, and the kernel moves the latter when the clock is
set: a live process would have another name afterwards. psutil keeps the part that nobody sets to itself, so on Linux it is
read here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

STARTTIME = 19
"""Where the 22nd field of /proc/PID/stat is, counted from the third: ticks from boot to the start of the process."""


def process_mark(pid: int | None = None) -> str:
    """ "pid:start", by default of this process. Raises `psutil.NoSuchProcess`."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}:{_start(pid)}"


def alive(mark: str) -> bool:
    """Whether the process of that mark still runs. One that is dead, and nobody has asked for its exit code, does not."""
    with suppress(psutil.Error, ValueError):
        pid = int(mark.split(":")[0])
        return process_mark(pid) == mark and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _start(pid: int) -> str:
    if not psutil.LINUX:
        return f"{psutil.Process(pid).create_time():.2f}"
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    ticks = stat.rpartition(")")[2].split()[STARTTIME]  # a name in brackets before them may hold anything
    return f"{ticks}@{boot()}"


def boot() -> str:
    """Which boot of the machine this is: another one counts its ticks anew."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return ""

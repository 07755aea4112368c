"""Processes named so that a later one with the same number is told apart."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil


def process_mark(pid: int | None = None) -> str:
    """ "pid:time of its start"; by default of this process."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def alive(mark: str) -> bool:
    with suppress(psutil.Error, ValueError):
        return process_mark(int(mark.split(":")[0])) == mark
    return False

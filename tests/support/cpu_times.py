"""CPU seconds of the tests, per file and per test, which a busy machine does not change as it changes wall time.

    python -m pytest -p tests.support.cpu_times tests/tracking

With processes of pytest-xdist (-n 2) each counts its own, and the one that started them adds them up.

Counted are the test process, the processes that it started and those that they started, finished or not. What a
fixture of a module or session takes is in the test that asks for it first. Lost is what a killed process leaves to nobody:
its unfinished children (workers of Ray, of a killed driver), which then count as less than nothing.
"""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

SLOWEST = 10
_per_test: dict[str, float] = {}


def cpu_seconds() -> float:
    """Of this process and of all below it, so far."""
    finished = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime + finished.ru_utime + finished.ru_stime
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])  # its own and its finished children's
    return total


def pytest_collection_finish() -> None:
    _per_test["(start, imports)"] = cpu_seconds()  # from the interpreter's start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = cpu_seconds()
    try:
        return (yield)
    finally:
        _per_test[item.nodeid] = cpu_seconds() - before


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # a process of pytest-xdist, which has no report of its own
        output["cpu_seconds"] = _per_test


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, seconds in getattr(node, "workeroutput", {}).get("cpu_seconds", {}).items():
        _per_test[name] = _per_test.get(name, 0.0) + seconds


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    files: dict[str, float] = defaultdict(float)
    for test, seconds in _per_test.items():
        files[test.partition("::")[0]] += seconds
    terminalreporter.section("CPU seconds")
    for name, seconds in sorted(files.items(), key=lambda item: -item[1]):
        terminalreporter.line(f"{seconds:8.1f}  {name}")
    terminalreporter.line(f"{sum(files.values()):8.1f}  in all")
    terminalreporter.section(f"CPU seconds of the slowest {SLOWEST} tests")
    for name, seconds in sorted(_per_test.items(), key=lambda item: -item[1])[:SLOWEST]:
        terminalreporter.line(f"{seconds:8.1f}  {name}")

"""The command line: `bench` in this process, whose imports are paid for already, or in a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

import typer.main

from tests.conftest import ROOT

BENCH = [sys.executable, "-m", "bench"]
PLACES = ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "BENCH_CACHE")
WIDTH = 200
"""Columns of the terminal that `bench` believes to have."""


def bench(folder: Path, *args: str, cache: Path | None = None) -> CompletedProcess[str]:
    """`bench ARGS` in `folder`: the real command line, within this process.

    Workers, where it starts any, are processes all the same: forked from one server, which lives as long as the tests.
    """
    from bench.cli import main as cli
    from bench.cli import output

    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        _without(*PLACES),
        mock.patch.dict(os.environ, {"BENCH_CACHE": str(cache)}) if cache else contextlib.nullcontext(),
        mock.patch.object(sys, "argv", ["bench", *args]),
        mock.patch("typer.main.get_command", _command),
        _width(WIDTH, output.out, output.err),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):  # as the interpreter does
                err.write(end.code)
    return CompletedProcess(["bench", *args], code, out.getvalue(), err.getvalue())


def bench_process(folder: Path, *args: str, timeout: float = 240) -> CompletedProcess[str]:
    """The same in a process of its own: for what a process has to itself, as imports, stderr, signals. Takes seconds."""
    return subprocess.run(
        [*BENCH, *args], cwd=folder, env=environment(OMP_NUM_THREADS="1"),
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    """Of a process that is to find this checkout, and no store of whoever runs the tests."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(WIDTH), **more}
    return {key: value for key, value in env.items() if key != "MLFLOW_TRACKING_URI"}


_command = cache(
    typer.main.get_command
)  # typer would read all signatures anew each time, half of a call's time


@contextlib.contextmanager
def _width(columns: int, *consoles: object) -> Iterator[None]:
    """What a console took from COLUMNS when it was made, for the time of a call."""
    with contextlib.ExitStack() as stack:
        for console in consoles:
            stack.enter_context(mock.patch.object(console, "_width", columns))
        yield


@contextlib.contextmanager
def _without(*names: str) -> Iterator[None]:
    """Unset in the environment; what is set meanwhile, as by modules that are imported, stays."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)

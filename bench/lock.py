"""Locks between the processes of a machine: one driver at a time on a study, so that no run is done twice."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bench.errors import UserError
from bench.spec import content_hash


@contextmanager
def exclusive(uri: str, study: str) -> Iterator[None]:
    """Hold the study's lock. The kernel frees it when this process ends, however it ends.

    Raises `UserError` where another process holds it.
    """
    with _file(uri, study) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"study {study!r} is being run by another process on this store; wait for it or stop it"
            ) from None
        yield


@contextmanager
def turn(uri: str, what: str) -> Iterator[None]:
    """One process of this machine after the other, as for looking something up and making it where it is not there."""
    with _file(uri, what) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _file(uri: str, what: str) -> TextIO:
    path = Path(tempfile.gettempdir()) / f"finetune-bench-{os.getuid()}-{content_hash([uri, what])}.lock"
    return path.open("a")

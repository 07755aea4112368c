"""Locks between the processes of a machine: one driver at a time on a study, so that no run is done twice."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bench.core.errors import UserError
from bench.core.spec import content_hash


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


def _file(uri: str, study: str) -> TextIO:
    """In a folder that others can write to, under a name that they can tell: no link is followed, no foreign file used."""
    path = Path(tempfile.gettempdir()) / f"finetune-bench-{os.getuid()}-{content_hash([uri, study])}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            f"lock file {path}: {error.strerror}; remove it, or set TMPDIR to a folder of your own"
        ) from None
    if os.fstat(descriptor).st_uid != os.getuid():
        os.close(descriptor)
        raise UserError(f"lock file {path} belongs to another user; set TMPDIR to a folder of your own")
    return os.fdopen(descriptor, "r+")

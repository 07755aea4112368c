"""One driver at a time on a study: a second one on this machine is refused, so that no run is done twice."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UserError
from bench.spec import content_hash


@contextmanager
def exclusive(uri: str, study: str) -> Iterator[None]:
    """Hold the study's lock. The kernel frees it when this process ends, however it ends.

    Raises `UserError` where another process holds it.
    """
    path = Path(tempfile.gettempdir()) / f"finetune-bench-{os.getuid()}-{content_hash([uri, study])}.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"study {study!r} is being run by another process on this store; wait for it or stop it"
            ) from None
        yield

"""Every bad input: exit code 2, its one message, no traceback, nothing written. Every odd one: read as stated."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.corpus import checkpoints, studies
from tests.corpus.case import Bad, Odd, content, refused, says
from tests.corpus.tables import BAD, ODD

cases = pytest.mark.parametrize("case", [case for table in BAD.values() for case in table], ids=str)
odd_ones = pytest.mark.parametrize("case", [case for table in ODD.values() for case in table], ids=str)


def test_the_corpus_has_at_least_a_hundred_and_no_entry_twice() -> None:
    for table in BAD.values():
        assert len({case.name for case in table}) == len(table)
        assert all(len(case.message.strip("…")) > 15 for case in table), "a message that any text would fit"
    assert sum(map(len, BAD.values())) >= 100


@cases
def test_it_is_refused_with_its_message_and_nothing_is_written(case: Bad, tmp_path: Path) -> None:
    found = refused(case, tmp_path)
    assert found.result.returncode == 2, found.result.stderr
    assert "Traceback" not in found.result.stderr
    assert says(found.message, tmp_path, found.result.stderr), (
        f"{found.result.stderr}\nis not\n{found.message}"
    )
    assert content(tmp_path) == found.before


@odd_ones
def test_it_is_read_as_stated(case: Odd, tmp_path: Path) -> None:
    case.make(tmp_path)
    case.check(tmp_path)


FROM_OUTSIDE = [
    next(case for case in table if case.name == name)
    for table, name in (
        (studies.CASES, "a Python object"),
        (checkpoints.CASES, "weights beside an object that runs code"),
    )
]


@pytest.mark.parametrize("case", FROM_OUTSIDE, ids=str)
def test_so_it_is_from_outside_with_a_worker(case: Bad, tmp_path: Path) -> None:
    """As a user runs it: warnings of libraries and what workers print are on stderr too."""
    case.make(tmp_path)
    before = content(tmp_path)
    command = [sys.executable, "-m", "bench", *case.args, "--workers", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and says(case.message, tmp_path, done.stderr), done.stderr
    assert content(tmp_path) == before


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write everything; for a moment this process is nobody."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_store_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    from bench.core.errors import UserError
    from bench.tracking.store.usable import check_store

    store = (
        Path(tempfile.gettempdir()) / f"bench-{os.getpid()}-{tmp_path.name}" / "x.db"
    )  # pytest's folders are closed to others
    store.parent.mkdir()
    try:
        store.touch()
        store.chmod(0o444)
        with (
            without_privileges(),
            pytest.raises(UserError, match=r"x\.db cannot be written: Permission denied"),
        ):
            check_store(f"sqlite:///{store}")
        store.chmod(0o666)
        store.parent.chmod(0o555)
        with (
            without_privileges(),
            pytest.raises(UserError, match=r"x\.db cannot be written: Permission denied"),
        ):
            check_store(f"sqlite:///{store}")
    finally:
        store.parent.chmod(0o755)
        store.unlink()
        store.parent.rmdir()

"""A prepared data set in two workers at once: how many of its pages they share, how many each has to itself.

Read from /proc/self/smaps in workers of the harness's own pool: of the mapping that the images lie in, once both
workers have read all of it; and of the images of a run's task, which are either in that mapping or copied.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from bench.core.jobs import Emit, Ended, Job
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec, TrainSpec
from bench.data.prepare import Resolution, load, prepare
from bench.execution.executors.pool import LocalPool
from bench.storage.places import Places
from bench.training.run.ingredients import make_task
from tests.benchmarks.speed.images import folder, home
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure
from tests.benchmarks.speed.ours import strategy_spec

MB = 2**20
WORKERS = 2
PATIENCE = 120.0
"""Seconds that a worker waits for the other to have read the data too."""

ALONE = 0.05
"""What a worker may have to itself, as a share of the set."""

Pages = dict[str, float]


def shared(settings: Settings) -> list[Figure]:
    places = Places(Path("."), home())
    dataset = DatasetSpec(f"folder:{folder(200 if settings.quick else 2000)}")
    path = prepare(dataset, Resolution(146, 146), places.base, places.cache)
    meeting = home() / f"meeting-{time.time_ns()}"
    meeting.mkdir()
    workers = _in_workers(path, dataset, meeting)
    for sign in meeting.iterdir():
        sign.unlink()
    meeting.rmdir()
    size = (path / "pool.npy").stat().st_size / MB
    return [
        _figure("memory: of the prepared images, in a worker alone", "private", workers, size),
        _figure("memory: of a run's images, copied by a worker", "copied", workers, size),
    ]


def _figure(name: str, key: str, workers: list[Pages], size: float) -> Figure:
    table = "; ".join(
        ", ".join(f"{name} {megabytes:.1f} MB" for name, megabytes in worker.items()) for worker in workers
    )
    value = max(worker[key] for worker in workers) / size
    more = f"a set of {size:.0f} MB, by worker: {table}"
    return Figure(name, value, rounds=1, goal=ALONE, ceiling=True, unit="of the set", more=more)


def _in_workers(path: Path, dataset: DatasetSpec, meeting: Path) -> list[Pages]:
    pool = LocalPool(WORKERS, threads=1)
    jobs = [Job(f"hold{i}", f"{__name__}:hold", (i, path, dataset, meeting)) for i in range(WORKERS)]
    try:
        ended = [event for event in pool.run(jobs) if isinstance(event, Ended)]
    finally:
        pool.close()
    for event in ended:
        if event.crash:
            raise RuntimeError(event.crash)
    return [event.result for event in ended]


def hold(emit: Emit, number: int, path: Path, dataset: DatasetSpec, meeting: Path) -> Pages:
    """In a worker: reads all images, makes a run's task of them, and looks while the other holds them too."""
    prepared = load(path)
    prepared.pool.stored.sum(dtype=torch.int64)
    spec = RunSpec(dataset, "all", BackboneSpec("resnet18", "random"), strategy_spec(), 0, TrainSpec())
    task = make_task(prepared, spec)
    _meet(meeting, f"read{number}")
    pages = _mapping(prepared.pool.stored)
    copies = [x for x in (task.train.stored, task.val.stored) if "pool.npy" not in _mapping_name(x)]
    found = {
        "resident": pages["Rss"],
        "shared": pages["Shared_Clean"] + pages["Shared_Dirty"],
        "private": pages["Private_Clean"] + pages["Private_Dirty"],
        "copied": sum(x.nbytes for x in copies) / MB,
    }
    _meet(meeting, f"done{number}")
    return found


def _meet(meeting: Path, sign: str) -> None:
    """Waits until all workers have come as far."""
    (meeting / sign).touch()
    end = time.monotonic() + PATIENCE
    while len(list(meeting.glob(f"{sign[:4]}*"))) < WORKERS:
        if time.monotonic() > end:
            raise TimeoutError(f"no other worker reached {sign[:4]!r}")
        time.sleep(0.05)


def _mapping(x: Tensor) -> Pages:
    """MB by kind, of the mapping that the tensor's first byte lies in."""
    lines = _smaps(x.data_ptr())[1:]
    return {words[0].rstrip(":"): int(words[1]) / 1024 for words in lines if words[-1] == "kB"}


def _mapping_name(x: Tensor) -> str:
    return _smaps(x.data_ptr())[0][-1]


def _smaps(address: int) -> list[list[str]]:
    """The lines of the mapping that holds `address`, in words; the first says where it lies and of what file."""
    found: list[list[str]] = []
    for words in map(str.split, Path("/proc/self/smaps").read_text().splitlines()):
        if words[0].endswith(":"):
            if found:
                found.append(words)
            continue
        if found:
            break
        start, end = (int(part, 16) for part in words[0].split("-"))
        if start <= address < end:
            found = [words]
    return found

"""The quickstart's 96 runs, two at a time: by `bench run`, and by a tutorial's script once per run.

Ours pays for everything: preparing images, pretraining, precision, tracking, validation, the report. The scripts get the
pretrained weights and folders of PNG files (the same images, split alike) for nothing, and only print a number.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from bench.core.schema import Metric, Tag
from bench.core.spec import RunSpec
from bench.data.images import ImageSet
from bench.data.prepare import Resolution, load, load_test, prepare
from bench.data.splits import k_shot
from bench.planning import load as study_file
from bench.planning import plan
from bench.tracking import store
from bench.training.run.pretrain import pretrain
from tests.benchmarks.speed import tutorial_script
from tests.benchmarks.speed.images import home
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Spent, figure, over

GOAL = 5.0
WORKERS = 2
STUDY = Path("studies/quickstart.yaml")


def quickstart(settings: Settings) -> list[Figure]:
    seeds = 1 if settings.quick else 4
    given = [_given(spec) for spec in _runs(seeds)]
    _adopt_orphans()
    with _all_cores():
        before, theirs, after = _bench(seeds), _scripts(given), _bench(seeds)
    both = (before, after)  # the scripts in between: what they take averages over 96 of them
    ratios, wall = over([theirs.spent] * 2, [ours.spent for ours in both])
    more = (
        f"{len(given)} runs, {WORKERS} at a time, imports included; pretraining and the report are in ours only; wall seconds "
        f"{statistics.mean(ours.spent.wall for ours in both):.0f} and {theirs.spent.wall:.0f}"
    )
    accuracy = {"ours": [ours.accuracy for ours in both], "scripts": [theirs.accuracy]}
    return [figure("quickstart: against scripts", ratios, wall, goal=GOAL, accuracy=accuracy, more=more)]


@dataclass(frozen=True)
class Done:
    """What a whole grid took, processor time of all its processes; accuracy: mean over its runs."""

    spent: Spent
    accuracy: float


def _runs(seeds: int) -> list[RunSpec]:
    study = study_file.load(STUDY, [f"seeds={seeds}"])
    return [planned.spec for planned in plan.make(study, STUDY, home()).runs]


def _bench(seeds: int) -> Done:
    """In an empty folder, with an empty cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = _plain() | {"BENCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd())}
        command = [
            sys.executable,
            "-m",
            "bench",
            "run",
            str(STUDY.absolute()),
            "--workers",
            str(WORKERS),
        ]
        spent = _measured(
            lambda: subprocess.run(
                [*command, "--set", f"seeds={seeds}"], cwd=folder, env=env, check=True, capture_output=True
            )
        )
        runs = store.read_runs(f"sqlite:///{folder / 'mlflow.db'}", "quickstart")
        found = [r.metrics[Metric.TEST_ACCURACY] for r in runs if r.tags.get(Tag.PURPOSE) == "final"]
    return Done(spent, statistics.mean(found))


def _scripts(given: list[list[str]]) -> Done:
    found: list[float] = []

    def script(arguments: list[str]) -> float:
        command = [sys.executable, tutorial_script.__file__, *arguments]
        return float(subprocess.run(command, env=_plain(), check=True, capture_output=True, text=True).stdout)

    def all_of_them() -> None:
        with ThreadPoolExecutor(WORKERS) as two:
            found.extend(two.map(script, given))

    spent = _measured(all_of_them)
    return Done(spent, statistics.mean(found))


def _measured(work: Callable[[], object]) -> Spent:
    """Processor time of all processes that `work` starts, and wall time."""
    others = _children()  # what an earlier line has left, as a server of forks, never ends
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall = time.perf_counter() - begun
    while started := _children() - others:
        for child in started:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)  # servers of forks outlive their parent for a moment
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _adopt_orphans() -> None:
    """So that the time of grandchildren whose parent does not wait for them is counted (Linux)."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


class _all_cores:
    """The benchmarks' process keeps to one core, and so would what it starts."""

    def __enter__(self) -> None:
        self.before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self.before)


def _plain() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "MLFLOW_TRACKING"))}


def _given(spec: RunSpec) -> list[str]:
    """The arguments of a run's script; writes what they name, once."""
    size = spec.train.image_size
    assert size and spec.backbone.source
    weights = pretrain(spec.backbone, size, STUDY.parent, home()).path
    with safe_open(weights, framework="pt") as file:
        config = json.loads(file.metadata()["data_config"])
    plain = home() / "scripts" / f"{weights.stem}.pt"
    path = prepare(spec.dataset, Resolution(size, size), STUDY.parent, home())
    images = home() / "scripts" / path.name
    drawn = images / f"{spec.n_per_class}-{spec.seed}"
    if not plain.exists():
        plain.parent.mkdir(parents=True, exist_ok=True)
        torch.save(load_file(weights), plain)
    if not (images / "test").exists():
        _write(load_test(path), images / "test")
    if not drawn.exists():
        pool = load(path).pool
        split = k_shot(pool.y, spec.n_per_class, spec.train.val_share, spec.seed)
        _write(pool.subset(split.train), drawn / "train")
        _write(pool.subset(split.val), drawn / "val")
    normalise = [json.dumps(config[key]) for key in ("mean", "std")]
    return [str(drawn), str(images / "test"), str(plain), spec.strategy.label, str(spec.seed), *normalise]


def _write(images: ImageSet, folder: Path) -> None:
    for number, (picture, label) in enumerate(zip(images.at(slice(None)), images.y.tolist(), strict=True)):
        path = folder / f"class{label:02d}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)

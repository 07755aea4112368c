"""Our side: the harness's own data, augmentation and training loop, as `bench.training.run.execute` puts them together."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from bench.core.spec import DatasetSpec, StrategySpec, TrainSpec
from bench.data.images import ImageSet
from bench.data.prepare import Prepared, load_test
from bench.data.task import Task
from bench.planning import compose
from bench.storage.places import Places
from bench.training.cost import Clock
from bench.training.device import Precision, choose
from bench.training.evaluate import predict, score
from bench.training.loop import Trainer
from bench.training.precision_timing import compare, make_step
from bench.training.run.ingredients import prepare_dataset
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import home
from tests.benchmarks.speed.job import Job, Side
from tests.benchmarks.speed.measure import Run, Spent

Format = Literal["fp32", "bf16"]


class CpuClock(Clock):
    """The harness's clock, which also notes processor time."""

    def __init__(self, precision: Precision) -> None:
        super().__init__(precision)
        self.cpu: dict[str, float] = {}

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        start = time.process_time()
        try:
            with super().__call__(kind):
                yield
        finally:
            self.cpu[kind] = self.cpu.get(kind, 0.0) + time.process_time() - start

    def spent(self, kind: str) -> Spent:
        return Spent(self.cpu.get(kind, 0.0), self.seconds.get(kind, 0.0))


def ours(job: Job, precision: Format | None = None, expression: str = "") -> Run:
    """Decodes the folder anew (its test images too, which no other side is charged for), then trains.

    precision: by default what is faster for this network, as `auto` has it. expression: a strategy in place
    of full fine-tuning, or of freezing the first stages.
    """
    train = settings_of(job, precision or faster(job.network, job.size))
    malloc.ours()
    prepare = Spent()
    places = Places(Path("."), Path(tempfile.mkdtemp(dir=home())))
    try:
        with prepare.measured():
            prepared = prepared_for(job, places)
            task = _task(prepared, job)
        test = load_test(prepared.path) if job.pretrained else None
        run = trained(job, task, train, expression, test)
        run.prepare += prepare
        return run
    finally:
        shutil.rmtree(places.cache)


def trained(
    job: Job,
    task: Task,
    train: TrainSpec,
    expression: str = "",
    test: ImageSet | None = None,
    untimed: int = 0,
) -> Run:
    """Trains on images that are decoded; its accuracy is on `test`, or unknown. untimed: epochs that do not count."""
    chosen = choose(train)
    clock = CpuClock(chosen)
    model = job.model().to(chosen.device, memory_format=torch.channels_last)
    before = Spent()

    def watch(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        nonlocal before
        if epoch == untimed:
            before = clock.spent("train")

    Trainer(model, task, train, chosen, clock, job.seed, watch).run(strategy(job, expression))
    accuracy = score(predict(model, test, chosen), test.y).accuracy if test else None
    return Run(clock.spent("prepare"), clock.spent("train") - before, accuracy)


def strategy(job: Job, expression: str = "") -> compose.Composed:
    expression = expression or ("freeze_first" if job.frozen else "full")
    hyperparameters = {
        "full": {"lr": job.lr},
        "freeze_first": {"k": job.frozen, "lr": job.lr},
        "delta": {"attention": False},  # its weights are found once, before training; a step costs the same
    }
    used = {name: values for name, values in hyperparameters.items() if name in expression.split(" + ")}
    return compose.build(compose.parse(expression, used))


def settings_of(job: Job, precision: Format) -> TrainSpec:
    return TrainSpec(
        epochs=job.epochs,
        batch_size=job.batch,
        optimizer="momentum",
        warmup=0.0,
        augment=job.augment,
        image_size=job.size,
        precision=precision,
    )


def prepared_for(job: Job, places: Places) -> Prepared:
    folder = DatasetSpec(f"folder:{job.folder}")
    return prepare_dataset(folder, job.spec, job.size, places, crops=job.augment == "crop")


def _task(prepared: Prepared, job: Job) -> Task:
    """All training images, copied into memory as `make_task` does; a few to watch, which is not timed."""
    train = prepared.pool.subset(torch.arange(len(prepared.pool)))
    return Task(train, train.subset(torch.arange(8)), len(prepared.classes), job.epochs, job.batch)


@lru_cache
def faster(network: str, size: int, batch: int = Job.batch) -> Format:
    """The number format that `precision: auto` chooses for this network: whatever trains faster, by its own
    probe."""
    model = Job(Path("."), network, size, epochs=1, pretrained=False).model()
    malloc.ours()
    return compare(make_step(model, size, choose(TrainSpec()).device, TrainSpec()), batch).choice().dtype


def in_format(precision: Format) -> Side:
    return lambda job: ours(job, precision)


def strategy_spec() -> StrategySpec:
    return compose.parse("full", {})

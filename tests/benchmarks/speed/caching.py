"""What the cache of frozen activations and the batched heads save: a sweep of linear probes, and a partly frozen
network trained several times.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.data.prepare import load_test
from bench.planning import compose
from bench.storage.places import Places
from bench.training.cached_features.store import GIB, ActivationStore
from bench.training.device import choose
from bench.training.evaluate import predict, score
from bench.training.heads.runs import VectorizedHeads
from bench.training.loop import Trainer
from tests.benchmarks.heads import at_once, features, one_after_another, seconds
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import folder, home
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.loops import tutorial
from tests.benchmarks.speed.measure import Figure, Run, Spent, accuracies, alternate, figure, over
from tests.benchmarks.speed.ours import (
    CpuClock,
    _task,
    faster,
    in_format,
    prepared_for,
    settings_of,
    strategy,
)
from tests.benchmarks.speed.startup import imports

RATES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
MIDDLE = RATES.index(0.1)
EPOCHS = 20
VIEWS = 5
RUNS = 4


def probes_resnet(settings: Settings) -> list[Figure]:
    return _probes("resnet18", 150, 90, settings)


def probes_mobilenet(settings: Settings) -> list[Figure]:
    return _probes("mobilenetv3_small_050", 100, 50, settings)


def _probes(network: str, goal: float, started: float, settings: Settings) -> list[Figure]:
    """Eight linear probes that differ in their rate. The tutorial trains one in full, and its time counts eightfold.

    Once more from the start of a process: what a worker imports on our side, a script's imports once per probe on the other.
    """
    images, epochs = (200, 2) if settings.quick else (settings.images, EPOCHS)
    job = Job(folder(images), network, 64, epochs=epochs, lr=RATES[MIDDLE], augment="flip")
    job = replace(job, frozen=len(job.model().stages))
    runs = alternate(
        {
            "ours": lambda number: _sweep(replace(job, seed=number)),
            "tutorial": lambda n: tutorial(replace(job, seed=n)),
        },
        settings.rounds(2),
    )
    theirs = [Spent(run.train.cpu * len(RATES), run.train.wall * len(RATES)) for run in runs["tutorial"]]
    ratios, wall = over(theirs, [run.whole for run in runs["ours"]])
    more = (
        f"decoding included; {images:,} images, flip, {epochs} epochs, 8 rates; accuracy at {RATES[MIDDLE]}"
    )
    worker, script = imports("bench.execution.worker"), imports("torch", "timm", "torchvision")
    from_start = over(
        [spent + Spent(script.cpu * len(RATES), script.wall * len(RATES)) for spent in theirs],
        [run.whole + worker for run in runs["ours"]],
    )
    return [
        figure(
            f"probes {network}: sweep of 8", ratios, wall, goal=goal, accuracy=accuracies(runs), more=more
        ),
        figure(
            f"probes {network}: from process start",
            *from_start,
            goal=started,
            more=f"imports, seconds of the processor: {script.cpu:.1f} a script, {worker.cpu:.1f} ours",
        ),
    ]


def _sweep(job: Job) -> Run:
    """All rates, from the folder of images to the last epoch."""
    train = settings_of(job, faster(job.network, job.size))
    malloc.ours()
    with _temporary() as places:
        prepare = Spent()
        with prepare.measured():
            prepared = prepared_for(job, places)
            task = _task(prepared, job)
        precision = choose(train)
        model, clock = job.model(), CpuClock(precision)
        store = ActivationStore(places.cache / "activations", 8 * GIB)
        trainer = Trainer(model, task, train, precision, clock, job.seed, _ignore, activations=store)
        probes = [compose.build(compose.parse("linear_probe", {"linear_probe": {"lr": lr}})) for lr in RATES]
        spent = Spent()
        with spent.measured():
            heads = VectorizedHeads.of(trainer, probes)
            heads.run([_ignore] * len(RATES))
        heads.put(MIDDLE)
        test = load_test(prepared.path)
        return Run(prepare, spent, score(predict(model, test, precision), test.y).accuracy)


def heads(settings: Settings) -> list[Figure]:
    """Heads on the same features of 2,000 images and 512 dimensions, at once and one after another; losses are equal."""
    z, y = features(2000, 512)
    at_once(z, y, 2)
    found = []
    for k, goal in ((8, 5.0), (32, 8.0)):
        ratios = []
        for _ in range(settings.rounds(3)):
            single, expected = seconds(lambda k=k: one_after_another(z, y, k))
            together, losses = seconds(lambda k=k: at_once(z, y, k))
            same = losses[: len(expected)]  # of many heads only some are trained one after another
            assert (same - expected).abs().max() < 1e-4, "they learn something else"
            ratios.append(single * k / len(expected) / together)
        more = "20 epochs, batch 64, SGD; torch's fused optimiser and autograd on the other side"
        found.append(figure(f"heads: {k} at once", ratios, goal=goal, more=more))
    return found


def views(settings: Settings) -> list[Figure]:
    """Four runs of a network frozen up to its last stage, on five fixed crops of each image, against new crops each time."""
    images, epochs = (100, 2) if settings.quick else (1000, EPOCHS)
    job = Job(folder(images), "resnet18", 64, epochs=epochs)
    job = replace(job, frozen=len(job.model().stages) - 1)
    precision = faster(job.network, job.size)
    runs = alternate(
        {
            "ours": lambda number: _cached_runs(replace(job, seed=number)),
            "ours, new crops": lambda number: in_format(precision)(replace(job, seed=number)),
            "tutorial": lambda number: tutorial(replace(job, seed=number)),
        },
        settings.rounds(2),
    )
    found = []
    for side, goal in (("ours, new crops", 1.8), ("tutorial", None)):
        theirs = [Spent(run.train.cpu * RUNS, run.train.wall * RUNS) for run in runs[side]]
        ratios, wall = over(theirs, [run.train for run in runs["ours"]])
        more = f"{images:,} images, {epochs} epochs, {RUNS} runs of different rates; the other side trains one, times {RUNS}"
        found.append(
            figure(
                f"views: {VIEWS} crops cached, against {side}",
                ratios,
                wall,
                goal=goal,
                accuracy=accuracies(runs),
                more=more,
            )
        )
    return found


def _cached_runs(job: Job) -> Run:
    """The accuracy is that of the run at the job's own rate."""
    train = replace(settings_of(job, faster(job.network, job.size)), views=VIEWS)
    malloc.ours()
    with _temporary() as places:
        prepared = prepared_for(job, places)
        task, precision, spent = _task(prepared, job), choose(train), Spent()
        for share in (0.25, 0.5, 2.0, 1.0)[-RUNS:]:
            model = job.model()
            store = ActivationStore(places.cache / "activations", 8 * GIB)
            trainer = Trainer(
                model, task, train, precision, CpuClock(precision), job.seed, _ignore, activations=store
            )
            with spent.measured():
                trainer.run(strategy(replace(job, lr=job.lr * share)))
        test = load_test(prepared.path)
        return Run(Spent(), spent, score(predict(model, test, precision), test.y).accuracy)


def on_cached(job: Job) -> Run:
    """A run that finds what its frozen part makes of the images: another one has filled the cache, which is not timed."""
    train = settings_of(job, faster(job.network, job.size))
    malloc.ours()
    with _temporary() as places:
        prepared = prepared_for(job, places)
        task, precision = _task(prepared, job), choose(train)
        for spent in (Spent(), Spent()):
            model = job.model()
            store = ActivationStore(places.cache / "activations", 8 * GIB)
            trainer = Trainer(
                model, task, train, precision, CpuClock(precision), job.seed, _ignore, activations=store
            )
            with spent.measured():
                trainer.run(strategy(job))
        assert store.cached_feature_seconds("train") > 0
        test = load_test(prepared.path)
        return Run(Spent(), spent, score(predict(model, test, precision), test.y).accuracy)


@contextmanager
def _temporary() -> Iterator[Places]:
    places = Places(Path("."), Path(tempfile.mkdtemp(dir=home())))
    try:
        yield places
    finally:
        shutil.rmtree(places.cache)


def _ignore(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
    return None

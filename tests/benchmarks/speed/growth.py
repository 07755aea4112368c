"""How the time of an epoch grows with the images, and that of filling the cache with its views, 100-fold.

Linear is the goal. Ours alone, no competitor. How plans, stores and reports grow with runs: `tests.benchmarks.growth`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from bench.data.evaluation import evaluation_input
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.data.views import views_of
from bench.training.cached_features.border import find_prefix
from bench.training.cached_features.cached import Cached
from bench.training.cached_features.store import GIB, ActivationStore
from bench.training.device import choose
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import CLASSES, folder, home
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Spent, alternate, figure
from tests.benchmarks.speed.ours import settings_of, trained

SIZE, BATCH, SMALLEST = 32, 32, 160
FACTORS = (1, 10, 100)
LINEAR = 1.1


def tables(settings: Settings) -> list[Figure]:
    """Processor time per image, and per view of an image, at ten and at a hundred times as many, over that of the fewest.

    A small set is trained for as many epochs as make a measurable time.
    """
    return _table("images", SMALLEST, _per_image, settings) + _table("views", 1, _per_view, settings)


def _table(what: str, smallest: int, cost: Callable[[int, int], float], settings: Settings) -> list[Figure]:
    factors = FACTORS[:2] if settings.quick else FACTORS
    found = alternate({str(f): lambda seed, f=f: cost(f, seed) for f in factors}, settings.rounds(3))
    each = {f: statistics.median(found[str(f)]) for f in factors}
    table = ", ".join(f"{smallest * f:,}: {seconds * 1e3:.2f}" for f, seconds in each.items())
    return [
        figure(
            f"growth: {f} times the {what}",
            [many / few for many, few in zip(found[str(f)], found["1"], strict=True)],
            goal=LINEAR,
            ceiling=True,
            more=f"ms an image by {what}: {table}",
        )
        for f in factors[1:]
    ]


def _per_view(views: int, seed: int) -> float:
    """Of computing and storing what a network frozen up to its head makes of 64 images, per view of an image."""
    malloc.ours()
    job = Job(folder(200), "mobilenetv3_small_050", SIZE, 1, pretrained=False, seed=seed)
    precision, model = choose(settings_of(job, "fp32")), job.model().requires_grad_(False).eval()
    images = _noise(64)
    frozen = find_prefix(model, evaluation_input(images, slice(4), model), precision)
    assert frozen
    spent, repeats = Spent(), max(1, 10 // views)
    with tempfile.TemporaryDirectory(dir=home()) as root:
        for number in range(repeats):
            cached = Cached(frozen, ActivationStore(Path(root, str(number)), GIB))
            drawn = views_of(images, "crop", views)
            assert drawn
            with spent.measured():
                assert cached.rows(images, drawn, looks=views) is not None
    return spent.cpu / (repeats * views * len(images))


def _noise(n: int) -> ImageSet:
    x = torch.randint(256, (n, 3, 36, 36), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageSet(x, torch.arange(n) % CLASSES)


def _per_image(factor: int, seed: int) -> float:
    n, epochs = SMALLEST * factor, max(1, 10 // factor)
    all_images = _noise(n)
    task = Task(all_images, all_images.subset(torch.arange(32)), CLASSES, epochs, BATCH)
    job = Job(folder(200), "mobilenetv3_small_050", SIZE, epochs, batch=BATCH, pretrained=False)
    malloc.ours()
    run = trained(replace(job, seed=seed), task, settings_of(job, "fp32"))
    return run.train.cpu / (n * epochs)

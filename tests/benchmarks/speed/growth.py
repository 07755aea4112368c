"""How the time of an epoch grows with the images, 100-fold: it should be linear. Ours alone, no competitor."""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch

from bench.data.images import ImageSet
from bench.data.task import Task
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import CLASSES, folder
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, alternate, figure
from tests.benchmarks.speed.ours import settings_of, trained

SIZE, BATCH, SMALLEST = 32, 32, 160
FACTORS = (1, 10, 100)
LINEAR = 1.1


def images(settings: Settings) -> list[Figure]:
    """Processor time per image at ten and at a hundred times as many images, over that of the fewest.

    A small set is trained for as many epochs as make a measurable time.
    """
    factors = FACTORS[:2] if settings.quick else FACTORS
    per_image = alternate(
        {str(f): lambda seed, f=f: _per_image(f, seed) for f in factors}, settings.rounds(3)
    )
    each = {f: statistics.median(per_image[str(f)]) for f in factors}
    table = ", ".join(f"{SMALLEST * f:,}: {seconds * 1e3:.2f}" for f, seconds in each.items())
    return [
        figure(
            f"growth: {f} times the images",
            [many / few for many, few in zip(per_image[str(f)], per_image["1"], strict=True)],
            goal=LINEAR,
            ceiling=True,
            more=f"ms an image by images: {table}",
        )
        for f in factors[1:]
    ]


def _per_image(factor: int, seed: int) -> float:
    n, epochs = SMALLEST * factor, max(1, 10 // factor)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (n, 3, 36, 36), generator=generator, dtype=torch.uint8)
    all_images = ImageSet(x, torch.arange(n) % CLASSES)
    task = Task(all_images, all_images.subset(torch.arange(32)), CLASSES, epochs, BATCH)
    job = Job(folder(200), "mobilenetv3_small_050", SIZE, epochs, batch=BATCH, pretrained=False)
    malloc.ours()
    run = trained(replace(job, seed=seed), task, settings_of(job, "fp32"))
    return run.train.cpu / (n * epochs)

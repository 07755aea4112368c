"""What a step with L2-SP or DELTA costs beside a plain step, all in our loop: resnet18 at 64 px, augmented."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.data.images import ImageSet
from bench.data.task import Task
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import CLASSES, folder, pixels
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Run, alternate, figure, over
from tests.benchmarks.speed.ours import faster, settings_of, trained

GOALS = {"l2_sp": ("full + l2_sp", 1.03), "delta, augmented": ("full + delta", 1.3)}
IMAGES, SIZE = 512, 64


def steps(settings: Settings) -> list[Figure]:
    images = 128 if settings.quick else IMAGES
    job = Job(folder(200), "resnet18", SIZE, epochs=1)
    task = _task(job, images)
    numerics = faster(job.network, SIZE)

    def side(expression: str, seed: int) -> Run:
        malloc.ours()
        return trained(replace(job, seed=seed), task, settings_of(job, numerics), expression)

    expressions = {"full": "full"} | {name: expression for name, (expression, _) in GOALS.items()}
    side("full", 0)
    runs = alternate(
        {name: lambda seed, e=expression: side(e, seed) for name, expression in expressions.items()},
        settings.rounds(5),
    )
    return [_figure(name, goal, runs, numerics) for name, (_, goal) in GOALS.items()]


def _figure(name: str, goal: float, runs: dict[str, list[Run]], numerics: str) -> Figure:
    ratios, wall = over([run.train for run in runs[name]], [run.train for run in runs["full"]])
    return figure(
        f"regularisers: {name}",
        ratios,
        wall,
        goal=goal,
        ceiling=True,
        more=f"{numerics}, batches of {Job.batch}, without what is done once before training",
    )


def _task(job: Job, images: int) -> Task:
    few = pixels("train", 200)
    x = torch.nn.functional.interpolate(few.x[: images + 64].float(), 73, mode="area").to(torch.uint8)
    both = ImageSet(x, few.y[: images + 64])
    train, val = (both.subset(torch.arange(i, j)) for i, j in ((0, images), (images, images + 64)))
    return Task(train, val, CLASSES, job.epochs, job.batch)

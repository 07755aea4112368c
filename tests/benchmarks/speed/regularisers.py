"""What a step with L2-SP or DELTA costs beside a plain step, all in our loop: resnet18 at 64 px.

Augmented, DELTA's reference maps are of crops that nobody has seen before. Cached, images are not augmented and the maps are
remembered from the first epoch, which is not timed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from bench.data.images import ImageSet
from bench.data.task import Task
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import CLASSES, folder, pixels
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Run, alternate, figure, over
from tests.benchmarks.speed.ours import faster, settings_of, trained

IMAGES, SIZE = 1024, 64


@dataclass(frozen=True)
class Step:
    expression: str
    goal: float
    augment: Literal["crop", "none"] = "crop"


STEPS = {
    "l2_sp": Step("full + l2_sp", 1.03),
    "delta, augmented": Step("full + delta", 1.3),
    "delta, cached": Step("full + delta", 1.12, "none"),
}


def steps(settings: Settings) -> list[Figure]:
    images = 128 if settings.quick else IMAGES
    job = Job(folder(200), "resnet18", SIZE, epochs=2)
    task = _task(job, images)
    precision = faster(job.network, SIZE)

    def side(step: Step, seed: int) -> Run:
        malloc.ours()
        train = replace(settings_of(job, precision), augment=step.augment)
        return trained(replace(job, seed=seed), task, train, step.expression, untimed=1)

    plain = {step.augment: replace(step, expression="full") for step in STEPS.values()}
    side(STEPS["l2_sp"], 0)
    runs = alternate(
        {name: lambda seed, s=step: side(s, seed) for name, step in {**plain, **STEPS}.items()},
        settings.rounds(5),
    )
    return [_figure(name, step, runs, precision) for name, step in STEPS.items()]


def _figure(name: str, step: Step, runs: dict[str, list[Run]], precision: str) -> Figure:
    ratios, wall = over([run.train for run in runs[name]], [run.train for run in runs[step.augment]])
    return figure(
        f"regularisers: {name}",
        ratios,
        wall,
        goal=step.goal,
        ceiling=True,
        more=f"{precision}, batches of {Job.batch}, second epoch, without what is done once before training",
    )


def _task(job: Job, images: int) -> Task:
    few = pixels("train", 200)
    x = torch.nn.functional.interpolate(few.x[: images + 64].float(), 73, mode="area").to(torch.uint8)
    both = ImageSet(x, few.y[: images + 64])
    train, val = (both.subset(torch.arange(i, j)) for i, j in ((0, images), (images, images + 64)))
    return Task(train, val, CLASSES, job.epochs, job.batch)

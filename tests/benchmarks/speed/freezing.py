"""resnet18 at 64 px with its stem and three of its four blocks frozen: our loop against the tutorial's
freezing as much.

Per epoch: with new crops in every epoch, so that nothing can be cached and all that is left is that frozen layers are
not differentiated, on both sides; and mirrored only, on activations that an earlier run of the study has cached.
"""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.speed.caching import on_cached
from tests.benchmarks.speed.images import folder
from tests.benchmarks.speed.job import Job, Side
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.loops import tutorial
from tests.benchmarks.speed.measure import Figure, accuracies, alternate, figure, over
from tests.benchmarks.speed.ours import faster, in_format

GOAL = 2.0


def per_epoch(settings: Settings) -> list[Figure]:
    images = 200 if settings.quick else 1000
    job = Job(folder(images), "resnet18", 64, epochs=1 if settings.quick else 2)
    stages = job.model().stages
    job = replace(job, frozen=len(stages) - 1)
    precision = faster(job.network, job.size)
    fresh = _against_tutorial(job, in_format(precision), settings)
    cached = _against_tutorial(replace(job, augment="flip"), on_cached, settings)
    more = f"{precision}, {images:,} images, {job.epochs} epochs; the stem counts as a fifth stage"
    return [
        figure("freeze: per epoch, cached", *cached[:2], goal=GOAL, accuracy=cached[2], more=more),
        figure("freeze: per epoch, new crops", *fresh[:2], accuracy=fresh[2], more=more),
    ]


def _against_tutorial(
    job: Job, ours: Side, settings: Settings
) -> tuple[list[float], float, dict[str, list[float]]]:
    runs = alternate(
        {
            "ours": lambda number: ours(replace(job, seed=number)),
            "tutorial": lambda number: tutorial(replace(job, seed=number)),
        },
        settings.rounds(3),
    )
    ratios, wall = over([run.train for run in runs["tutorial"]], [run.train for run in runs["ours"]])
    return ratios, wall, accuracies(runs)

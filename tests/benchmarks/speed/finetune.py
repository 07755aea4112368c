"""Full fine-tuning of three networks at two sizes: our loop against four that a user would pick instead.

Every side trains the same job once a round, in turn, and is charged for all that it does from the folder of
JPEGs to the trained network. The main ratio is of the epochs alone; "from JPEG" counts our decoding (of the
test images too) against their nothing. Evaluation is outside for all.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.speed.frameworks import hugging_face, lightning
from tests.benchmarks.speed.images import folder
from tests.benchmarks.speed.job import Job, Side
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.loops import timm_train, tutorial
from tests.benchmarks.speed.measure import Figure, Run, accuracies, alternate, figure, over
from tests.benchmarks.speed.ours import faster, in_format

THEIRS: dict[str, Side] = {
    "tutorial": tutorial,
    "HF Trainer": hugging_face,
    "Lightning": lightning,
    "timm": timm_train,
}
BEST_FRAMEWORK = 1.6


@dataclass(frozen=True)
class Case:
    """images: enough steps that the first two, which meet memory that was never touched, weigh little, as in a long-lived
    worker; a round is a minute to four."""

    label: str
    network: str
    size: int
    goal: float
    images: int
    epochs: int
    lr: float
    rounds: int = 3


def mobilenet_64(settings: Settings) -> list[Figure]:
    return compare(Case("mobilenetv3@64", "mobilenetv3_small_050", 64, 2.6, 2000, 2, 0.05), settings)


def mobilenet_128(settings: Settings) -> list[Figure]:
    return compare(Case("mobilenetv3@128", "mobilenetv3_small_050", 128, 2.3, 2000, 1, 0.05), settings)


def resnet_64(settings: Settings) -> list[Figure]:
    return compare(Case("resnet18@64", "resnet18", 64, 2.1, 2000, 1, 0.02), settings)


def resnet_128(settings: Settings) -> list[Figure]:
    return compare(Case("resnet18@128", "resnet18", 128, 2.5, 2000, 1, 0.02), settings)


def vit_64(settings: Settings) -> list[Figure]:
    return compare(Case("vit_tiny@64", "vit_tiny_patch16_224", 64, 2.1, 2000, 1, 0.02), settings)


def vit_128(settings: Settings) -> list[Figure]:
    return compare(Case("vit_tiny@128", "vit_tiny_patch16_224", 128, 2.0, 2000, 1, 0.02), settings)


def compare(case: Case, settings: Settings) -> list[Figure]:
    job = Job(folder(case.images), case.network, case.size, case.epochs, case.lr)
    if settings.quick:
        job = replace(job, folder=folder(200), epochs=1)
    precision = faster(job.network, job.size)
    sides = {"ours": in_format(precision), **THEIRS}
    runs = alternate(
        {name: lambda number, side=side: side(replace(job, seed=number)) for name, side in sides.items()},
        settings.rounds(case.rounds),
    )
    more = f"{precision}, {len(job.train_images()):,} images, {job.epochs} epochs of batches of {job.batch}"
    figures = [_against(case, name, runs, more) for name in THEIRS]
    return [*figures, _against_best(case, runs, more)]


def _against(case: Case, name: str, runs: Mapping[str, Sequence[Run]], more: str) -> Figure:
    ratios, wall = over([run.train for run in runs[name]], [run.train for run in runs["ours"]])
    whole, _ = over([run.whole for run in runs[name]], [run.whole for run in runs["ours"]])
    return figure(
        f"{case.label} against {name}",
        ratios,
        wall,
        goal=case.goal if name == "tutorial" else None,
        accuracy=accuracies({"ours": runs["ours"], name: runs[name]}),
        more=f"{more}; from JPEG {statistics.median(whole):.2f}",
    )


def _against_best(case: Case, runs: Mapping[str, Sequence[Run]], more: str) -> Figure:
    """Against the framework whose median is lowest: chosen over all rounds, not anew in each."""
    frameworks = [name for name in THEIRS if name != "tutorial"]
    best = min(frameworks, key=lambda name: statistics.median(run.train.cpu for run in runs[name]))
    ratios, wall = over([run.train for run in runs[best]], [run.train for run in runs["ours"]])
    return figure(
        f"{case.label} against the best framework", ratios, wall, goal=BEST_FRAMEWORK, more=f"{best}; {more}"
    )

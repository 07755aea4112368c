"""Lines that need a CUDA device. Without one the runner writes "not measured"."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from bench.data.images import ImageSet
from bench.data.task import Task
from tests.benchmarks.speed.images import CLASSES, folder
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Run, alternate, figure
from tests.benchmarks.speed.ours import settings_of, trained

BATCH, SIZE = 256, 224


def synthetic(settings: Settings) -> list[Figure]:
    """Our images/s, augmentation included, as a share of a compiled step on one batch that stays on the
    device."""
    return [_synthetic(network, settings) for network in ("resnet50", "vit_base_patch16_224")]


def _synthetic(network: str, settings: Settings) -> Figure:
    n = BATCH * (4 if settings.quick else 40)
    job = Job(folder(200), network, SIZE, epochs=2, batch=BATCH, pretrained=False)
    task = _random_task(n, 256, job)

    def ours(seed: int) -> float:
        return n * job.epochs / trained(replace(job, seed=seed), task, settings_of(job, "bf16")).train.wall

    resident = _resident(job)
    ours(0), resident(0)
    speeds = alternate({"ours": ours, "resident": resident}, settings.rounds(3))
    ratios = [o / r for o, r in zip(speeds["ours"], speeds["resident"], strict=True)]
    more = f"images/s {speeds['ours'][-1]:.0f} and {speeds['resident'][-1]:.0f}, bf16, batch {BATCH}"
    return figure(f"gpu training: {network}@{SIZE}", ratios, goal=0.9, more=more)


def _resident(job: Job) -> Callable[[int], float]:
    """Images/s of forward, backward and step, compiled, on one batch: the most that a loop could reach."""
    net = job.net().cuda().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=job.lr, momentum=0.9, fused=True)
    x = torch.randn(job.batch, 3, job.size, job.size, device="cuda").to(memory_format=torch.channels_last)
    y = torch.arange(job.batch, device="cuda") % CLASSES

    @torch.compile
    def loss_of(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return nn.functional.cross_entropy(net(x), y)

    def speed(_: int, steps: int = 40) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            loss_of(x).backward()
            optimizer.step()
            optimizer.zero_grad()
        torch.cuda.synchronize()
        return steps * job.batch / (time.perf_counter() - start)

    return speed


def memory(settings: Settings) -> list[Figure]:
    """Peak memory of a run with frozen parts, over that of full fine-tuning."""
    job = Job(folder(200), "resnet50", SIZE, epochs=1, batch=64, pretrained=False)
    task = _random_task(256, 256, job)
    full = _peak(job, task, "full")
    return [
        Figure(
            f"gpu memory: {expression} against full",
            _peak(job, task, expression) / full,
            rounds=1,
            more=f"full takes {full / 2**30:.2f} GiB; resnet50 at {SIZE} px, batch {job.batch}, bf16",
        )
        for expression in ("linear_probe", "last_stages", "freeze_first")
    ]


def _peak(job: Job, task: Task, expression: str) -> float:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    trained(job, task, settings_of(job, "bf16"), expression)
    return torch.cuda.max_memory_allocated()


def small(settings: Settings) -> list[Figure]:
    """resnet18 at 64 px from a folder of JPEGs against timm's loader and loop on the same device."""
    from tests.benchmarks.speed.gpu_loops import timm_on_gpu
    from tests.benchmarks.speed.ours import ours

    job = Job(folder(2000), "resnet18", 64, epochs=2 if settings.quick else 10, pretrained=False)
    sides: dict[str, Callable[[int], Run]] = {
        "ours": lambda seed: ours(replace(job, seed=seed), "bf16"),
        "timm": lambda seed: timm_on_gpu(replace(job, seed=seed)),
    }
    runs = alternate(sides, settings.rounds(3))
    ratios = [t.train.wall / o.train.wall for t, o in zip(runs["timm"], runs["ours"], strict=True)]
    return [figure("gpu small: resnet18@64 against timm", ratios, goal=5.0, more="wall time")]


def _random_task(n: int, stored: int, job: Job) -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (n, 3, stored, stored), generator=generator, dtype=torch.uint8)
    images = ImageSet(x, torch.arange(n) % CLASSES)
    return Task(images, images.subset(torch.arange(64)), CLASSES, job.epochs, job.batch)

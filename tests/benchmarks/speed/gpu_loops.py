"""timm's train.py as its README has it used on one GPU: workers, prefetcher, bf16 autocast, channels_last."""

from __future__ import annotations

import os
import time

import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import nn

from bench.data.augment import RATIO, SCALE
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.measure import Run, Spent


def timm_on_gpu(job: Job) -> Run:
    """Wall time of its epochs, the device synchronised at both ends."""
    device = torch.device("cuda")
    net = job.net().to(device, memory_format=torch.channels_last)
    loader = create_loader(
        create_dataset("", root=str(job.folder / "train")),
        input_size=(3, job.size, job.size),
        batch_size=job.batch,
        is_training=True,
        scale=SCALE,
        ratio=RATIO,
        color_jitter=None,
        interpolation="bilinear",
        mean=job.normalise.mean,
        std=job.normalise.std,
        num_workers=min(8, os.cpu_count() or 1),
        pin_memory=True,
        device=device,
    )
    optimizer = create_optimizer_v2(net, opt="momentum", lr=job.lr, weight_decay=0.0)
    scheduler = CosineLRScheduler(optimizer, t_initial=job.epochs * len(loader), t_in_epochs=False)
    torch.cuda.synchronize()
    start, updates = time.perf_counter(), 0
    for _ in range(job.epochs):
        net.train()
        for x, target in loader:
            with torch.autocast("cuda", torch.bfloat16):
                loss = nn.functional.cross_entropy(net(x.to(memory_format=torch.channels_last)), target)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            updates += 1
            scheduler.step_update(updates)
    torch.cuda.synchronize()
    return Run(train=Spent(wall=time.perf_counter() - start))

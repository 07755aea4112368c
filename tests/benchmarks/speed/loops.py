"""The loops that a user would otherwise write or take: the PyTorch tutorial's, and timm's train.py."""

from __future__ import annotations

import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter
from torch import nn
from torch.utils.data import DataLoader

from bench.data.augment import RATIO, SCALE
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.measure import Run


def tutorial(job: Job) -> Run:
    """PyTorch's "Transfer learning for computer vision": ImageFolder, DataLoader, torchvision transforms.

    https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html. No workers: two beside the
    training on two cores are slower than none, and here everything has one core.
    """
    net, run = job.frozen_net(), Run()
    malloc.theirs()
    torch.manual_seed(job.seed)
    with run.prepare.measured():
        loader = DataLoader(job.train_images(), job.batch, shuffle=True, drop_last=True)
        optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=job.lr, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, job.epochs * len(loader))
        criterion = nn.CrossEntropyLoss()
    with run.train.measured():
        for _ in range(job.epochs):
            net.train()
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in loader:
                optimizer.zero_grad()
                outputs = net(inputs)
                _, preds = torch.max(outputs, 1)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                scheduler.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
    run.accuracy = job.accuracy(net)
    return run


def timm_train(job: Job) -> Run:
    """timm's train.py at its defaults for a CPU: its dataset, loader, optimiser factory, scheduler and
    meters.

    Same augmentation as all: no colour jitter, no random erasing, bilinear crops.
    """
    net, run = job.frozen_net(), Run()
    normalise = job.normalise
    malloc.theirs()
    torch.manual_seed(job.seed)
    with run.prepare.measured():
        loader = create_loader(
            create_dataset("", root=str(job.folder / "train")),
            input_size=(3, job.size, job.size),
            batch_size=job.batch,
            is_training=True,
            use_prefetcher=False,  # needs a GPU
            scale=SCALE,
            ratio=RATIO,
            color_jitter=None,
            interpolation="bilinear",
            mean=normalise.mean,
            std=normalise.std,
            num_workers=0,
            persistent_workers=False,
            device=torch.device("cpu"),
        )
        optimizer = create_optimizer_v2(net, opt="momentum", lr=job.lr, weight_decay=0.0)
        steps = len(loader)
        scheduler = CosineLRScheduler(optimizer, t_initial=job.epochs * steps, t_in_epochs=False)
        loss_fn, losses = nn.CrossEntropyLoss(), AverageMeter()
    with run.train.measured():
        updates = 0
        for _ in range(job.epochs):
            net.train()
            for x, target in loader:
                output = net(x)
                loss = loss_fn(output, target)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.update(loss.item(), x.size(0))
                updates += 1
                scheduler.step_update(updates)
    run.accuracy = job.accuracy(net)
    return run

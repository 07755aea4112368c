"""Hugging Face's Trainer and Lightning's, set as a user who knows them would for speed: no logs,
checkpoints, bars."""

from __future__ import annotations

import logging
import tempfile
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.measure import Run


def _cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _sgd(net: nn.Module, job: Job) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=job.lr, momentum=0.9)


class _Named(Dataset[dict[str, Any]]):
    """An image folder with its parts by name, as Hugging Face's collator wants them."""

    def __init__(self, images: Dataset[tuple[Tensor, int]]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)  # type: ignore[arg-type]

    def __getitem__(self, i: int) -> dict[str, Any]:
        x, y = self.images[i]
        return {"pixel_values": x, "labels": y}


class _WithLoss(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def hugging_face(job: Job) -> Run:
    """`transformers.Trainer` on the wrapped timm network; no gradient clipping, which is its default."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    net, run = job.frozen_net(), Run()
    malloc.theirs()
    with run.prepare.measured(), tempfile.TemporaryDirectory() as out:
        data = _Named(job.train_images())
        optimizer = _sgd(net, job)
        arguments = TrainingArguments(
            out,
            per_device_train_batch_size=job.batch,
            num_train_epochs=job.epochs,
            dataloader_drop_last=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            max_grad_norm=0.0,
            logging_strategy="no",
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=job.seed,
        )
        scheduler = _cosine(optimizer, job.epochs * (len(data) // job.batch))
        trainer = Trainer(_WithLoss(net), arguments, train_dataset=data, optimizers=(optimizer, scheduler))
        trainer.remove_callback(PrinterCallback)
    with run.train.measured():
        trainer.train()
    run.accuracy = job.accuracy(net)
    return run


def lightning(job: Job) -> Run:
    """`lightning.Trainer` without logger, checkpoints, progress bar and summary."""
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = _sgd(self.net, job)
            schedule = {"scheduler": _cosine(optimizer, job.epochs * len(loader)), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    net, run = job.frozen_net(), Run()
    malloc.theirs()
    torch.manual_seed(job.seed)
    with run.prepare.measured():
        loader = DataLoader(job.train_images(), job.batch, shuffle=True, drop_last=True)
        trainer = L.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=job.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    with run.train.measured():
        trainer.fit(Module(net), loader)
    run.accuracy = job.accuracy(net)
    return run

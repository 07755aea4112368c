"""The CUDA path: skipped, with the reason, where there is no device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec
from bench.data.images import ImageSet
from bench.data.task import Task
from bench.models.build import build
from bench.planning.precision import Key
from bench.training.cost import EnergyMeter, MemoryMeter
from bench.training.device import choose
from bench.training.evaluate import predict
from bench.training.loop import Trainer
from bench.training.precision_timing import measure
from tests.support.strategy_samples import NETWORKS, TRAIN, composed, make_model, make_task, make_trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_on_the_device_learns(network: str, precision: str) -> None:
    model, task = make_model(network), make_task(epochs=6)
    trainer, log = make_trainer(model, task, replace(TRAIN, precision=precision))
    assert next(model.parameters()).device.type == "cuda"
    trainer.run(composed("full + head_x10", full={"lr": 1e-3}))
    assert log[-1]["train/loss"] < log[0]["train/loss"]


def test_the_same_logits_as_on_the_cpu() -> None:
    task, train = make_task(), replace(TRAIN, precision="fp32")
    on_device = choose(train)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    model = make_model("test_resnet")
    there = predict(model.to(on_device.device), task.val, on_device)
    here = predict(model.cpu(), task.val, replace(on_device, device=torch.device("cpu")))
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3)


def test_memory_and_energy_are_read_from_the_device() -> None:
    device = torch.device("cuda")
    memory, energy = MemoryMeter(device), EnergyMeter(device)
    memory.start()
    x = torch.ones(64, 1024, 1024, device=device)
    (x * 2).sum().item()
    assert memory.device_peak() >= 2 * x.numel() * 4
    joules = energy.joules()
    assert joules is None or joules >= 0


def test_a_choice_is_measured_on_the_device() -> None:
    key = Key("test_resnet", {}, 32, 32, "this device", "this version")
    timing = measure(BackboneSpec("test_resnet", "random"), key)
    assert timing.images == 32 and timing.bf16 and timing.choice().dtype in ("fp32", "bf16")


def train_vit(room: int | None) -> tuple[Trainer, list[dict[str, float]]]:
    """An epoch of a ViT-Ti at 224 px in batches of 64, with so many bytes beside what is allocated before."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (128, 3, 224, 224), generator=generator, dtype=torch.uint8)
    images = ImageSet(x, torch.arange(128) % 3)
    task = Task(images, images.subset(torch.arange(9)), 3, 1, 64)
    torch.manual_seed(0)
    model = build(BackboneSpec("vit_tiny_patch16_224", "random"), 3, 224, Path("."))
    trainer, log = make_trainer(model, task, replace(TRAIN, optimizer="momentum", batch_size=64))
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    if room is not None:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room) / total)
    try:
        trainer.run(composed("full", full={"lr": 1e-3}))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return trainer, log


def test_memory_that_really_runs_out_is_met_by_parts() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    plain, expected = train_vit(None)
    needed = torch.cuda.max_memory_allocated() - before
    parted, log = train_vit(needed // 2)
    assert (
        not plain.pass_limit.parted
        and parted.pass_limit.parted
        and parted.pass_limit.at_once in (4, 8, 16, 32)
    )
    assert log[0] == pytest.approx(expected[0], rel=1e-2)
    with pytest.raises(UserError, match=r"out of memory on .* at batch_size 64 on images of 224 px"):
        train_vit(2**22)

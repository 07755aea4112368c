"""Whether a network trains faster in fp32 or in bf16 on this machine: by timing whole training steps of both in turn."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from bench.core.spec import BackboneSpec, TrainSpec
from bench.models.build import build, resolution
from bench.planning.precision import MARGIN, Key, Timing, read, write
from bench.storage.arrays import locked
from bench.training.cpu_kernels.active import cpu_kernels_of
from bench.training.device import Precision, placed

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROUNDS, SECONDS = 8, 2.0
"""A round is a step of each; after the second none is begun once so many seconds are spent."""

CLEAR, LEAST = 1.25, 3
"""Nor once so many rounds are done, each of which, the first (in new memory) apart, says the same of bf16, and by this
factor more than its margin: four more would not change the answer."""

PAIR_SECONDS, GROWTH = 1.0, 4
"""Batches grow until they are a run's own, or a step of each takes so long: they keep the device busy with fewer images too.
Not judged by the step of two images: most of that is what any step costs, and bf16 can win there and lose at thirty-two
(mobileone_s0, 1.3 and .65 times as fast). Where a run's own batch takes less than that, as steps so far say, it is next."""

PILOT, HOPELESS = 2, 4.0
"""So many images first (BatchNorm needs two); where bf16 is slower by this factor, that is the answer."""

CLASSES = 10

Step = Callable[[str, int], float]
"""(format, images) -> seconds of one training step."""


def decide(key: Key, backbone: BackboneSpec, base: Path, cache: Path) -> Timing:
    """Measured now, unless it was before; other processes wait for it and find the same.

    Raises `UserError` for a backbone that cannot be built.
    """
    path = key.path(cache)
    with locked(path.parent / ".locks" / path.stem):
        if (known := read(key, cache)) is None:
            known = measure(backbone, key, base)
            _write(key, known, path)
    return known


def measure(backbone: BackboneSpec, key: Key, base: Path = Path(".")) -> Timing:
    """Of the network at random weights, which cost the same, on this process's device and threads."""
    pixels = key.image_size if isinstance(key.image_size, int) else None
    size = resolution(backbone, pixels, base)[0]
    random = dataclasses.replace(backbone, weights="random", checkpoint=None, source=None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = TrainSpec(cpu_kernels=key.cpu_kernels)
    return compare(make_step(build(random, CLASSES, size), size, device, train), key.batch_size)


def compare(step: Step, batch_size: int) -> Timing:
    """The fastest of several steps in turn: what disturbs a machine for a moment only ever makes one slower."""
    timing = None
    try:
        timing = _fastest(step, PILOT, 3)
        while timing.images < batch_size and not _decided(timing):
            images = min(batch_size, timing.images * GROWTH)
            if timing.images > PILOT and _pair(timing) * batch_size <= PAIR_SECONDS * timing.images:
                images = batch_size
            timing = _fastest(step, images, ROUNDS if images == batch_size else 3)
    except torch.OutOfMemoryError:  # says nothing of the formats
        if timing is None:
            raise
    except RuntimeError as error:  # an operation without a bf16 kernel
        return Timing(step("fp32", PILOT), None, PILOT, str(error).splitlines()[0])
    return timing


def _pair(timing: Timing) -> float:
    """Seconds of a step of each."""
    return timing.fp32 + (timing.bf16 or 0.0)


def _decided(timing: Timing) -> bool:
    return (timing.bf16 or 0.0) > HOPELESS * timing.fp32 or _pair(timing) > PAIR_SECONDS


def _fastest(step: Step, images: int, rounds: int) -> Timing:
    """The first round is slower: the first step meets memory that was never touched, the second finds it."""
    seen: list[tuple[float, float]] = []
    while len(seen) < rounds and not _enough(seen):
        seen.append((step("fp32", images), step("bf16", images)))
    fp32, bf16 = (min(seconds) for seconds in zip(*seen, strict=True))
    return Timing(fp32, bf16, images)


def _enough(seen: list[tuple[float, float]]) -> bool:
    if len(seen) >= 2 and sum(map(sum, seen)) > SECONDS:
        return True
    ratios = [fp32 / bf16 for fp32, bf16 in seen[1:]]
    return len(seen) >= LEAST and (min(ratios) > MARGIN * CLEAR or max(ratios) < MARGIN / CLEAR)


def make_step(model: nn.Module, size: int, device: torch.device, train: TrainSpec) -> Step:
    """Forward, loss, backward and plain SGD on random images [images, 3, size, size], with the kernels of the loop."""
    model = placed(model, device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step(dtype: str, images: int) -> float:
        precision = Precision(device, DTYPES[dtype])
        x = torch.rand(images, 3, size, size, device=device).to(memory_format=torch.channels_last)
        y = torch.arange(images, device=device) % CLASSES
        precision.synchronize()
        start = time.perf_counter()
        with cpu_kernels_of(train), precision.autocast():
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        precision.synchronize()
        return time.perf_counter() - start

    return step


def _write(key: Key, timing: Timing, path: Path) -> None:
    write(key, timing, path, threads=torch.get_num_threads())

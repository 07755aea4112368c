"""What a run costs: seconds by kind, peak memory, FLOPs, energy. Nothing is estimated: what cannot be read is absent."""

from __future__ import annotations

import copy
import ctypes
import math
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.models.model import Model
from bench.training.device import Precision
from bench.training.profile_marks import SILENT, Parts


class Clock:
    """Seconds by kind of work, wall clock, the device synchronised at both ends.

    parts: each kind is one, for whoever measures more finely.
    """

    def __init__(self, precision: Precision, parts: Parts = SILENT) -> None:
        self.precision, self.parts = precision, parts
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        self.precision.synchronize()
        start = time.perf_counter()
        try:
            with self.parts(kind):
                yield
        finally:
            self.precision.synchronize()
            self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - start


class MemoryMeter:
    """Peak memory since `start`: bytes allocated on the CUDA device, resident bytes of this process on the host."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        """Give back what earlier runs of this worker left in the allocator, and reset the kernel's high-water mark."""
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def host_peak(self) -> int:
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def device_peak(self) -> int:
        return (
            torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else self.host_peak()
        )


class EnergyMeter:
    """Joules drawn by an NVIDIA device, from NVML's own counter; None where there is no counter to read."""

    def __init__(self, device: torch.device) -> None:
        self.handle = None
        if device.type == "cuda":
            with suppress(Exception):  # no NVML, no permission, a device without the counter: log nothing
                import pynvml

                pynvml.nvmlInit()
                self.handle = pynvml.nvmlDeviceGetHandleByUUID(
                    f"GPU-{torch.cuda.get_device_properties(device).uuid}"
                )
        self.begin = self._millijoules()

    def _millijoules(self) -> int | None:
        if self.handle is None:
            return None
        with suppress(Exception):
            import pynvml

            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle))
        return None

    def joules(self) -> float | None:
        end = self._millijoules()
        return None if end is None or self.begin is None else (end - self.begin) / 1000


def forward_flops(model: Model) -> int:
    """FLOPs of one image's forward pass (a multiply-add counts two), on the meta device (on CPU attention is missed)."""
    with FlopCounterMode(display=False) as counter:
        _ghost(model)(_ghost_image(model))
    flops: int = counter.get_total_flops()
    return flops


@dataclass(frozen=True)
class StepFlops:
    """Of one image in a training step, counted as `forward_flops` does."""

    forward: int
    backward: int


def step_flops(model: Model, border: str = "") -> StepFlops:
    """As the model is frozen now: backward is about 2 x forward where it trains, and nothing below that.

    border: name of the module in `model.net` whose output is cached, or, ending in ":", whose input is; nothing below it
    is computed.
    """
    net = _ghost(model)
    cached = _below(net, border, _ghost_image(model)) if border else 0
    backward = {torch.ops.aten.convolution_backward: _conv_backward}
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        logits = net(_ghost_image(model))
        forward = counter.get_total_flops()
        if logits.requires_grad:
            logits.sum().backward()
    return StepFlops(forward - cached, counter.get_total_flops() - forward)


def _conv_backward(
    dy: Sequence[int],
    x: Sequence[int],
    w: Sequence[int],
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: int,
    wanted: Sequence[bool],
    **rest: object,
) -> int:
    """Shapes -> FLOPs: the gradients of inputs and of weights take what the forward pass takes, each.

    torch's own count is several times too high where convolutions are grouped.
    """
    pixels = math.prod((x if transposed else dy)[2:])
    return 2 * x[0] * pixels * math.prod(w) * sum(wanted[:2])


def _below(net: nn.Module, border: str, x: torch.Tensor) -> int:
    """FLOPs of a forward pass until it gets to the border."""
    module = net.get_submodule(border.removesuffix(":"))
    reached = -1

    def note(*args: object) -> None:
        nonlocal reached
        reached = counter.get_total_flops()

    with FlopCounterMode(display=False) as counter:
        if border.endswith(":"):
            module.register_forward_pre_hook(note)
        else:
            module.register_forward_hook(note)
        net(x)
    return reached


def _ghost(model: Model) -> nn.Module:
    """The network without its numbers, frozen where it is; eval mode, as BatchNorm would not train on one image."""
    return copy.deepcopy(model.net).to("meta").eval()


def _ghost_image(model: Model) -> torch.Tensor:
    return torch.empty(1, 3, model.image_size, model.image_size, device="meta")


def matmul_peak(precision: Precision, seconds: float = 0.5) -> float:
    """FLOP/s of the fastest of many large matrix products on this device, by this process's threads."""
    side = 8192 if precision.device.type == "cuda" else 1024
    a, b = (torch.rand(side, side, device=precision.device, dtype=precision.dtype) for _ in range(2))
    fastest, end = math.inf, time.perf_counter() + seconds
    while fastest == math.inf or time.perf_counter() < end:
        precision.synchronize()
        start = time.perf_counter()
        torch.mm(a, b)
        precision.synchronize()
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest

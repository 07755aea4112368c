"""What a run costs: seconds by kind, peak memory, FLOPs, energy. Nothing is estimated: what cannot be read is absent."""

from __future__ import annotations

import ctypes
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.backbones.model import Model
from bench.train.device import Numerics


class Clock:
    """Seconds by kind of work, wall clock, the device synchronised at both ends."""

    def __init__(self, numerics: Numerics) -> None:
        self.numerics = numerics
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        self.numerics.synchronize()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.numerics.synchronize()
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
    import copy

    ghost = copy.deepcopy(model.net).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        ghost(torch.empty(1, 3, model.image_size, model.image_size, device="meta"))
    return counter.get_total_flops()

"""The accelerators and the processor of this machine, told without torch, so that the driver starts fast."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}
"""Of processors that compute in bf16: x86 names its instructions, ARM the format."""


def cuda_devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name here, one entry per GPU; empty where there is none."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    with suppress(Exception):  # no driver, no permission
        import pynvml

        pynvml.nvmlInit()
        return [str(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return []


def gpu_name() -> str | None:
    """Of the first GPU that CUDA would use here; None where there is none."""
    visible = cuda_devices()
    if not visible:
        return None
    with suppress(Exception):
        import pynvml

        pynvml.nvmlInit()
        by_number = visible[0].isdigit()
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(visible[0]))
            if by_number
            else pynvml.nvmlDeviceGetHandleByUUID(visible[0])
        )
        return str(pynvml.nvmlDeviceGetName(handle))
    return "CUDA device"


@dataclass(frozen=True)
class Processor:
    """`bf16`: whether it computes in that format, without which it is about ten times slower; None: not known."""

    name: str
    bf16: bool | None


def processor() -> Processor:
    """As Linux describes its first core; elsewhere only the name is known."""
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in CPUINFO.read_text().partition("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            facts[key.strip().lower()] = value.strip()
    flags = set((facts.get("flags") or facts.get("features") or "").split())
    # virtual machines name many models alike
    numbers = [facts[key] for key in ("cpu family", "model", "stepping", "cpu part") if key in facts]
    name = facts.get("model name") or platform.processor() or platform.machine()
    known = sorted(flags & (BF16_FLAGS | {"avx2", "avx512f"}))
    return Processor(" ".join([name, *numbers, *known]), bool(flags & BF16_FLAGS) if flags else None)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """One per GPU, so that a run's energy and memory are its own; without one, one single-threaded worker per
    core: small networks gain 8-30 % over one process with all threads.
    """
    return len(cuda_devices()) or cores()

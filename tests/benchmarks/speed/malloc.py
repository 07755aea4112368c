"""glibc's malloc as each side would find it, switched within one process.

Our workers are started with MALLOC_* variables (bench/execution/executors/pool.py) that a tutorial script is not. A
process reads them at its start only, so `ours` sets the same by mallopt. What cannot be had back is glibc's
adaptive threshold: once set by hand it stays where it is put. `theirs` puts it where adaptation ends at
best, at its maximum of 32 MiB (and twice that for trimming), and gives the memory that we kept back to the
system. In a fresh process the threshold rises to the largest block below 32 MiB that was freed, so theirs
is never worse off here than alone: `check` measures it.

    python -m tests.benchmarks.speed.malloc
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time

from bench.execution.executors.pool import MALLOC

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_ADAPTED = 32 * 2**20


def ours() -> None:
    _set(*(int(MALLOC[f"MALLOC_{name}_"]) for name in ("MMAP_THRESHOLD", "TRIM_THRESHOLD", "TOP_PAD")))


def theirs() -> None:
    _set(_LARGEST_ADAPTED, 2 * _LARGEST_ADAPTED, 128 * 2**10)
    _libc().malloc_trim(0)


def available() -> bool:
    """False where the system has no glibc: then both sides run with what there is."""
    try:
        return bool(_libc().mallopt)
    except (OSError, AttributeError):
        return False


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL("libc.so.6")


def _set(mmap: int, trim: int, pad: int) -> None:
    if not available():
        return
    for option, value in ((_MMAP_THRESHOLD, mmap), (_TRIM_THRESHOLD, trim), (_TOP_PAD, pad)):
        if not _libc().mallopt(option, value):
            raise OSError(f"mallopt refused {value} for option {option}")


_ALONE = "from tests.benchmarks.speed import malloc; print(*malloc.epoch())"


def epoch() -> tuple[float, int]:
    """(processor seconds, page faults) of ten plain training steps of resnet18 at 64 px, after two to warm
    up."""
    import timm
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net, x = timm.create_model("resnet18", num_classes=10), torch.randn(64, 3, 64, 64)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for step in range(12):
        if step == 2:
            start, faults = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        net(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


def _alone(environment: dict[str, str]) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _ALONE], env=clean | environment, check=True, capture_output=True, text=True
    )
    seconds, faults = done.stdout.split()
    return f"{float(seconds):6.2f} s {int(faults):8,} page faults"


def check(rounds: int = 3) -> None:
    """Both sides in this process in turn, beside processes of their own that were started as each side
    would be."""
    for _ in range(rounds):
        for name, switch, environment in (("theirs", theirs, {}), ("ours", ours, MALLOC)):
            switch()
            seconds, faults = epoch()
            print(f"{name:7} here {seconds:6.2f} s {faults:8,} page faults   alone {_alone(environment)}")


if __name__ == "__main__":
    check()

"""Whether runs train with our own CPU kernels (`bench.training.cpu_kernels`) here. Torch-free."""

from __future__ import annotations

from bench.core.compat import VersionRange
from bench.core.spec import TrainSpec

TESTED = VersionRange("torch", "2.13", "2.13")
"""The kernels replace private parts of torch, and were measured to be faster than its own of these releases alone."""


ON = "on"


def state(train: TrainSpec, torch: str | None = None) -> str:
    """ "on", "off", or why they are off although a study has them on `auto`: torch's own kernels then train.

    Args:
        torch: its version; None: the installed one.
    """
    if train.cpu_kernels == "off":
        return "off"
    return ON if TESTED.covers(torch) else f"off: tested with {TESTED} only"

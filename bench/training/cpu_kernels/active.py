"""What stands in for torch's own kernels while a network trains on a CPU, each where it was measured to be faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.core.spec import TrainSpec
from bench.planning import cpu_kernels
from bench.training.cpu_kernels.attention import short_sequences
from bench.training.cpu_kernels.convolutions import small_maps


@contextmanager
def cpu_kernels_of(train: TrainSpec) -> Iterator[None]:
    """Within, these kernels compute what a run trains, unless its study or the version of torch speaks against it.

    They are chosen by shape, number format and kind of processor alone, never by a clock: a run must give the same bits in
    every process.
    """
    if cpu_kernels.state(train) != cpu_kernels.ON:
        yield
        return
    with small_maps(), short_sequences():
        yield

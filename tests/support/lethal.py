"""A network that kills the process it is built in, where that is a worker: for tests of what a lost worker takes with it.

As a script: `bench` with workers that know this network.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import timm
from timm.models import register_model
from torch import nn

from bench.core.imports import uncollected

with uncollected():
    import bench.execution.worker  # noqa: F401


def lethal(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return timm.create_model("test_resnet", **kwargs)


lethal.__module__ = "timm.models.resnet"  # of which timm's table of networks tells the family
register_model(lethal)

if __name__ == "__main__":
    from bench.cli import main as cli
    from bench.execution.executors import choose
    from bench.execution.executors.pool import LocalPool

    def local_pool(workers: int) -> LocalPool:
        return LocalPool(workers, threads=1, preload="tests.support.lethal")

    choose.local_pool = local_pool  # type: ignore[assignment]
    cli.main()

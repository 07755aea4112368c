"""A network that kills the process it is built in, where that is a worker: for tests of what a lost worker takes with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import timm
from timm.models import register_model
from timm.models._registry import _model_entrypoints
from torch import nn

from bench.execution.executors import pool

_work = pool._work


def lethal(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return timm.create_model("test_resnet", **kwargs)


lethal.__module__ = "timm.models.resnet"  # of which timm's table of networks tells the family


def work(*args: Any) -> None:
    """The life of a worker that knows this network."""
    register_model(lethal)
    _work(*args)


@contextmanager
def known() -> Iterator[None]:
    """This process and workers that it starts know the network `lethal`."""
    register_model(lethal)
    try:
        with mock.patch.object(pool, "_work", work):
            yield
    finally:
        _model_entrypoints.pop("lethal", None)

"""Forward passes in parts, where a device's memory does not hold what a whole one needs.

In training, what a part leaves for the backward pass is thrown away, and computed once more when the backward pass gets
there (checkpointing; Chen et al. 2016, arXiv:1604.06174): the activations of one part are held at a time, for a second
forward pass per step. Gradients accumulate over the parts. Losses see the outputs of the whole batch: they are what they
are without parts, whether they sum over images, weigh them or, as BSS does, look at all of them at once.

What stays: outputs, features and feature maps of the whole batch are held, so parts far smaller than a tenth of it gain
little. What differs, beyond rounding: a BatchNorm layer in train mode normalises each part by itself and takes each into
its running statistics, and what a layer draws at random (dropout) is drawn part by part.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from bench.core.compat.torch import AnyBatchNorm
from bench.models.types import Output

Result = TypeVar("Result", Tensor, Output)
Forward = Callable[[Tensor, slice], Result]
"""x [b, ...], the rows of a part, and which of all rows they are -> tensor [b, ...], or an `Output`."""


@dataclass
class PassLimit:
    """How many images one run may put through a network at once, as far as it knows its device's memory.

    at_once: images that go through a network at once; None: as many as come. in_step: whoever runs the training step does
    all of it again. largest: images of the largest pass since it was set to 0. parted: a training step ran in parts.
    """

    at_once: int | None = None
    in_step: bool = False
    largest: int = 0
    parted: bool = False

    def halve(self, least: int) -> bool:
        """From now on half of what was just tried; False where that was the least already."""
        tried = min(self.largest, self.at_once or self.largest)
        if tried <= least:
            return False
        self.at_once = max(least, (tried + 1) // 2)
        return True

    @contextmanager
    def entered(self) -> Iterator[None]:
        """All passes of `bench.models.model.Model` within keep to it, teachers' and references' too."""
        token = _limit.set(self)
        try:
            yield
        finally:
            _limit.reset(token)


_limit: ContextVar[PassLimit | None] = ContextVar("pass_limit", default=None)


def run(network: nn.Module, forward: Forward[Result], x: Tensor) -> Result:
    """forward(x), whole or in parts. x: [B, ...]. network: whose modules `forward` runs.

    A pass that does not fit is done again in halves; but within a training step the error goes through, as that has to be
    done again from its start.
    """
    limit = _limit.get()
    if limit is None:
        return forward(x, slice(0, len(x)))
    while True:
        if not limit.in_step:
            limit.largest = 0
        try:
            return _in_parts(limit, network, forward, x)
        except torch.OutOfMemoryError:
            if limit.in_step or not limit.halve(least(network)):
                raise
        free(x.device)  # after the clause, which holds the frames of the attempt, and these its tensors


def least(network: nn.Module) -> int:
    """Images that a part must have: a BatchNorm layer that trains needs two."""
    norms = (m for m in network.modules() if isinstance(m, AnyBatchNorm))
    return 2 if any(m.training for m in norms) else 1


def free(device: torch.device) -> None:
    """Give the memory that nothing holds any more back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _in_parts(limit: PassLimit, network: nn.Module, forward: Forward[Result], x: Tensor) -> Result:
    n = len(x)
    if limit.at_once is None or n <= limit.at_once:
        limit.largest = max(limit.largest, n)
        return forward(x, slice(0, n))
    count = max(1, min(-(-n // limit.at_once), n // least(network)))
    edges = [i * n // count for i in range(count + 1)]
    limit.largest = max(limit.largest, -(-n // count))
    first, *others = [slice(a, b) for a, b in pairwise(edges)]
    found = _part(network, forward, x, first)
    if _rows(found) != first.stop:
        # a hook makes several rows of an image: parts would come out in another order
        return forward(x, slice(0, n))
    limit.parted |= limit.in_step and bool(others)
    whole: Result = _joined([found, *(_part(network, forward, x, part) for part in others)])
    return whole


def _part(network: nn.Module, forward: Forward[Result], x: Tensor, where: slice) -> Result:
    if not torch.is_grad_enabled():
        return forward(x[where], where)

    def once(part: Tensor) -> Result:
        # a copy: a layer in place must not change what the second pass starts from
        return forward(part.clone(), where)

    # not stopped early: hooks that follow a pass to its end see the end of the second one too
    with set_checkpoint_early_stop(False):
        kept = lambda: (nullcontext(), _statistics_kept(network))  # noqa: E731
        found: Result = checkpoint(once, x[where], use_reentrant=False, context_fn=kept)
    return found


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Around the second pass: running statistics have taken in the first."""
    moving = [b for m in network.modules() if m.training for b in m.buffers(recurse=False)]
    before = [b.clone() for b in moving]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(moving, before, strict=True):
                buffer.copy_(value)


def _rows(found: Tensor | Output) -> int:
    return len(found if isinstance(found, Tensor) else found.logits)


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    logits, features = (torch.cat([getattr(p, name) for p in parts]) for name in ("logits", "features"))
    return Output(logits, features, _Maps([part.maps for part in parts]))


class _Maps(Mapping[str, Tensor]):
    """Feature maps of all parts, put together when somebody asks for them."""

    def __init__(self, parts: Sequence[Mapping[str, Tensor]]) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> Tensor:
        return torch.cat([part[name] for part in self._parts])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts[0])

    def __len__(self) -> int:
        return len(self._parts[0])

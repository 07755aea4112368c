"""Where the frozen part of a network ends.

Nothing is assumed about architectures. A border is one of timm's feature stages, or the classifier's input. That all
before it is frozen is asked of autograd; that train mode changes nothing there, and that nothing goes past the border, are
found by comparing outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.model import Model
from bench.training.cached_features.prefix import CLASSIFIER, TOLERANCE, Prefix, close
from bench.training.device import Precision


@dataclass
class _Watched:
    """One forward pass: what candidates for a border gave, and the modules in the order in which they finished."""

    outputs: dict[str, Any] = field(default_factory=dict)
    finished: list[nn.Module] = field(default_factory=list)


def find_prefix(model: Model, x: Tensor, precision: Precision) -> Prefix | None:
    """The highest border below which `model`, in its current mode, is frozen; None where it trains from the stem on.

    x [b, 3, H, W]: a few images to try it on, two at least. Buffers and random state are left as they were.
    """
    if any(parameter.requires_grad for parameter in model.stage_parameters(model.stages[0])):
        return None
    names = [*([] if model.beyond_features else [CLASSIFIER]), *reversed(model.map_names())]
    with _undisturbed(model), precision.autocast():
        trained = _watch(model, x, names)
        with model.in_eval_mode(), torch.no_grad():
            still = _watch(model, x, names)
    for name in names:
        if _frozen(trained.outputs.get(name), still.outputs.get(name), TOLERANCE[precision.dtype]):
            below = [] if name == CLASSIFIER else _below(model.net, name, still.finished)
            if below is None or _drops(model, name, still.finished):
                continue
            prefix = Prefix(model, name, precision, below, x)
            with prefix.still():
                activations = prefix.activations(x)
            if prefix.agrees(x, prefix.unpack(prefix.pack(activations))):
                return prefix
    return None


def _watch(model: Model, x: Tensor, names: list[str]) -> _Watched:
    watched = _Watched()
    wanted = {model.net.get_submodule(name): name for name in names if name != CLASSIFIER}

    def finished(module: nn.Module, args: Any, output: Any) -> None:
        watched.finished.append(module)
        if module in wanted:
            watched.outputs[wanted[module]] = output

    def classified(features: Tensor) -> None:
        watched.outputs[CLASSIFIER] = features

    handles = [module.register_forward_hook(finished) for module in model.net.modules()]
    try:
        with model.features_met(classified):
            model.net(x)
    finally:
        for handle in handles:
            handle.remove()
    return watched


def _frozen(trained: Any, still: Any, tolerance: float) -> bool:
    """Whether what came out at a candidate is a tensor that no trained parameter and no train mode had a part in."""
    if not (isinstance(trained, Tensor) and isinstance(still, Tensor)):
        return False
    return not trained.requires_grad and close(trained, still, tolerance)


def _below(net: nn.Module, border: str, finished: list[nn.Module]) -> list[nn.Module] | None:
    """The outermost modules that had finished, once and for all, before the border's did; None if it runs twice."""
    module, calls = net.get_submodule(border), Counter(finished)
    if calls[module] != 1:
        return None
    before = {m for m in finished[: finished.index(module)] if calls[m] == 1}

    def outermost(parent: nn.Module) -> Iterator[nn.Module]:
        for child in parent.children():
            if child in before:
                yield child
            elif child is not module:
                yield from outermost(child)

    return list(outermost(net))


def _drops(model: Model, border: str, finished: list[nn.Module]) -> bool:
    """Whether something below the border leaves out parts at random: a few images may not have shown it."""
    ends = model.classifiers if border == CLASSIFIER else [model.net.get_submodule(border)]
    end = max(map(finished.index, ends))
    return any("Drop" in type(m).__name__ and m.training and _share(m) > 0 for m in finished[:end])


def _share(module: nn.Module) -> float:
    """Of what a dropout, drop path or patch dropout leaves out."""
    return float(
        getattr(module, "p", None) or getattr(module, "drop_prob", None) or getattr(module, "prob", 0) or 0
    )


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Buffers and random states are put back: a pass in train mode moves statistics and draws dropout."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)

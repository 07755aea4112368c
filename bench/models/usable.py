"""Whether a network can be trained as a classifier here: tried on two images before anything is prepared.

Strategies rely on the logits being what the classifier makes of the features (see `bench.models.classifiers`): a probe
that is fitted to features would else not be what predicts. timm has networks that give tuples or maps instead of logits, or
weigh several classifiers by parameters of their own; they are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.models.model import Model

IMAGES = 2
TOLERANCE = 1e-3  # of the largest logit
NUDGE = 0.3  # standard deviation


def check(model: Model, label: str) -> None:
    """Raises `UserError`, naming the backbone, where `refusal` has a reason. The model is left as it was."""
    if reason := refusal(model):
        raise UserError(f"backbone {label!r} cannot be used: {reason}")


def refusal(model: Model) -> str:
    """Why the network cannot be trained as a classifier; "" where it can."""
    kind, size = type(model.net).__name__, model.image_size
    doing = "in eval mode"
    try:
        with _undisturbed(model):
            like = next(model.parameters())
            x = torch.randn(IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0)).to(like)
            if reason := _judge(model, x):
                return f"{kind} {reason}"
            doing = "in train mode"
            model.train()
            reason = _shape(model.net(x), model)
            return reason and f"{kind}, {doing}, {reason}"
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        what = f"{type(error).__name__}: {error}".strip(": ").partition("\n")[0]
        return f"{kind} fails {doing} on {IMAGES} images of {size} x {size} pixels: {what}"


@torch.no_grad()
def _judge(model: Model, x: Tensor) -> str:
    """What is wrong with logits and features in eval mode, or ""."""
    model.eval()
    features: list[Tensor] = []
    with _nudged(model.net), model.features_met(features.append):
        logits = model.net(x)
        if reason := _shape(logits, model):
            return reason
        if len(features) != 1:
            return f"runs its classifier {len(features)} times in a pass"
        if model.beyond_features:  # strategies that need the classifier alone are refused one by one
            return ""
        alone = model.classifier(features[0])
    same = alone.shape == logits.shape and _close(alone, logits)
    return "" if same else "makes its logits of more than what its classifier says of the features"


def _shape(logits: object, model: Model) -> str:
    if not isinstance(logits, Tensor):
        return f"gives a {type(logits).__name__} instead of logits"
    wanted = [IMAGES, model.num_classes]
    return "" if list(logits.shape) == wanted else f"gives {list(logits.shape)} instead of logits {wanted}"


def _close(a: Tensor, b: Tensor) -> bool:
    scale = b.abs().max().clamp(min=1e-6)
    return bool(((a - b).abs().max() <= TOLERANCE * scale).item()) or not bool(b.isfinite().all())


@contextmanager
def _nudged(net: nn.Module) -> Iterator[None]:
    """The network's own parameters, tokens and such, are moved: weights of classifiers may start all alike."""
    own = list(net.parameters(recurse=False))
    before = [p.detach().clone() for p in own]
    generator = torch.Generator().manual_seed(1)
    for p in own:
        p.add_(NUDGE * torch.randn(p.shape, generator=generator).to(p))
    try:
        yield
    finally:
        for p, value in zip(own, before, strict=True):
            p.copy_(value)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Modes, buffers and random states are put back: a pass in train mode moves statistics and draws dropout."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)

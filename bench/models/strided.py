"""Strided 1x1 convolutions of few channels, whose training oneDNN gets wrong on a CPU.

Reported as https://github.com/uxlfoundation/oneDNN/issues/6035, seen with torch 2.13.

With the channels last, its gradient of the weight writes past the end of its workspace where a layer has fewer inputs than
a block (8 with AVX2, 16 with AVX-512): the process dies of a damaged heap, or the gradient is wrong without a word. RepVGG,
MobileOne, FastViT and GERNet have such layers, and pruning can make one of any. A convolution of every s-th pixel is the
same one, and has no stride.

This file may go once `pyproject.toml` asks for a torch from `FIXED_IN` on.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench.core.compat import installed_version, release

BLOCK = 16

FIXED_IN: str | None = None
"""The first torch whose oneDNN has the correction, such as "2.15"; None: none is known to. Unlike kernels that are there for
speed, this stays on with versions that nobody has tried: a wrong gradient says nothing."""


def is_needed(installed: str | None = None) -> bool:
    """Whether the `installed` torch (None: the one that is) trains such layers wrongly, for all that is known."""
    return FIXED_IN is None or release(installed or installed_version("torch")) < release(FIXED_IN)


@dataclass(frozen=True)
class _Every:
    """A forward pre-hook: the pixels that the kernel would have met."""

    rows: int
    columns: int

    def __call__(self, module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0][..., :: self.rows, :: self.columns],)


def without_strides(net: nn.Module) -> None:
    """Has such layers of `net` take every s-th pixel themselves. Their parameters stay as they are."""
    if not is_needed():
        return
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d) and _is_mistaken(layer):
            rows, columns = layer.stride
            layer.register_forward_pre_hook(_Every(rows, columns))
            layer.stride = (1, 1)


def _is_mistaken(layer: nn.Conv2d) -> bool:
    plain = layer.kernel_size == (1, 1) and layer.padding in ((0, 0), "valid") and layer.groups == 1
    return plain and layer.stride != (1, 1) and layer.in_channels < BLOCK

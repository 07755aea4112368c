"""Weight gradients of convolutions on small maps, on a CPU in float32: tap by tap, over the pixels that exist.

    dense:      dW[i, j] = g[valid]^T x[valid, shifted by (i, j)]        a matrix product a tap
    depthwise:  dW[i, j] = sum of g[valid] * x[valid, shifted by (i, j)]

The same gradient, summed in another order. oneDNN's is slow there: at 64 pixels it takes half of a mobilenetv3's step. Where
taps are taken is a rule on shapes and not a measurement, so that a run gives the same numbers in every process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_plain = nn.Conv2d._conv_forward


@contextmanager
def small_maps() -> Iterator[None]:
    """Within, `nn.Conv2d` computes weight gradients by taps where the rule says so."""
    before = nn.Conv2d._conv_forward
    nn.Conv2d._conv_forward = _forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Conv2d._conv_forward = before  # type: ignore[method-assign]


def _forward(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if by_taps(self, x, weight):
        return _Convolution.apply(x, weight, bias, self.stride, self.padding, self.groups)
    return _plain(self, x, weight, bias)


def by_taps(conv: nn.Conv2d, x: Tensor, weight: Tensor) -> bool:
    """Whether the layer is one whose weight gradient taps compute, and sooner. x: [B, C, H, W]"""
    if not weight.requires_grad or x.ndim != 4 or x.shape[-2] * x.shape[-1] > 256:
        return False
    if (
        weight.shape[2] * weight.shape[3] == 1
        or isinstance(conv.padding, str)
        or conv.padding_mode != "zeros"
    ):
        return False
    if conv.dilation != (1, 1) or not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    if not (x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"):
        return False
    area = 1
    for n, k, stride, padding in zip(x.shape[2:], weight.shape[2:], conv.stride, conv.padding, strict=True):
        area *= (n + 2 * padding - k) // stride + 1
    return area > 0 and _pays(weight, area, conv.groups, x.shape[1])


def _pays(weight: Tensor, area: int, groups: int, channels: int) -> bool:
    """The rule: output pixels and channels at which taps took less time than oneDNN on every shape that was tried.

    Measured on one core with AVX2, batches of 32 and 64: dense 3x3, oneDNN's time over that of taps, by channels

        output      1x1   2x2   4x4   6x6   8x8
        32          3.8   1.2    .6    .6    .7
        128        15.6   3.2   1.3   1.2   1.1
        256        18.3   5.1   1.8   1.6   1.3
        512        20.5   9.4   2.8   2.3

    and depthwise, where oneDNN is slow only if the kernel reaches over the whole map: 3x3 7 to 86 at 1x1, 2.4 to 18 at
    2x2, .2 to .5 above; 5x5 1.2 to 12 up to 4x4, .4 to 1.6 above.
    """
    if groups == 1:
        narrow = min(weight.shape[:2])
        return (narrow >= 32 and area <= 4) or (narrow >= 128 and area <= 36) or (narrow >= 256 and area <= 64)
    depthwise = groups == weight.shape[0] == channels
    return depthwise and area <= (4 if weight.shape[2] * weight.shape[3] <= 9 else 16)


class _Convolution(torch.autograd.Function):
    """torch's own, but for the gradient of the weight."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding, groups
        return nn.functional.conv2d(x, weight, bias, stride, padding, 1, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, groups = ctx.settings
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        rest = (stride, padding, (1, 1), False, (0, 0), groups, (True, False, False))
        return (
            torch.ops.aten.convolution_backward(gradient, x, weight, None, *rest)[0] if of_x else None,
            weight_gradient(x, gradient, weight, stride, padding) if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
            None,
            None,
            None,
        )


def weight_gradient(
    x: Tensor, gradient: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """x [B, C, H, W], gradient of the output [B, O, h, w] -> of the weight, [O, C, kh, kw] or depthwise [C, 1, kh, kw].

    In the layout of the weight: torch's fused optimisers go by memory, not by index.
    """
    depthwise = weight.shape[1] == 1 and x.shape[1] > 1
    pixels, ends = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    rows, columns = (
        [
            _meeting(i, pixels.shape[d], ends.shape[d], stride[d - 1], padding[d - 1])
            for i in range(weight.shape[d + 1])
        ]
        for d in (1, 2)
    )
    shape = (weight.shape[0],) if depthwise else weight.shape[:2]
    found = x.new_zeros(*weight.shape[2:], *shape)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if not row or not column:
                continue
            there, here = ends[:, row[0], column[0]], pixels[:, row[1], column[1]]
            if depthwise:
                torch.sum(there * here, (0, 1, 2), out=found[i, j])
            else:
                torch.mm(there.reshape(-1, shape[0]).T, here.reshape(-1, shape[1]), out=found[i, j])
    ordered = found.permute(2, 0, 1).unsqueeze(1) if depthwise else found.permute(2, 3, 0, 1)
    return torch.empty_like(weight).copy_(ordered)


def _meeting(tap: int, pixels: int, outputs: int, stride: int, padding: int) -> tuple[slice, slice] | None:
    """The outputs at which a tap meets a pixel, and those pixels; None where it never does."""
    first = max(0, -((tap - padding) // stride))
    end = min(outputs, (pixels - 1 - tap + padding) // stride + 1)
    if first >= end:
        return None
    start = first * stride + tap - padding
    return slice(first, end), slice(start, start + (end - 1 - first) * stride + 1, stride)

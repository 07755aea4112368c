"""Weight gradients of convolutions on small maps, tap by tap: what oneDNN is slow at on a CPU in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Pair = tuple[int, int]

DEPTHWISE_AREA, DENSE_AREA = 49, 49
"""Pixels of the output, at most."""
DEPTHWISE = 2048
"""Channels times images, at least: with fewer, the calls cost more than what they save."""
DENSE_SMALLER, DENSE = 96, 192
"""Channels into and out of a layer, at least: on a map smaller than its kernel, and on others."""
DENSE_BATCH = 16


def pays(depthwise: bool, batch: int, size: Pair, out: Pair, kernel: tuple[int, ...], channels: Pair) -> bool:
    """By the shape alone, never by a clock: the same run must give the same bits in every process.

    Forward and backward of a layer, oneDNN's processor time over ours (one AVX2 core, batches of 32 and 64; kernel/stride
    @ input), by channels. The lines of 4x4 and above show why the depthwise rule asks for the input's height.

        dense   3x3@1  3x3@2  3x3/2@4  3x3@4  3x3@7  5x5@4  5x5/2@8   depthwise  3x3@1  3x3@2  3x3/2@4  3x3@4  5x5@4  5x5/2@8
        64        1.4    1.2       .9    1.0    1.1    1.2       .9   48           2.0    1.5       .4     .5    1.7       .5
        128       2.2    1.4      1.2    1.1    1.0    1.2      1.1   144          4.0    2.7       .5     .4    3.0       .9
        256       3.9    1.9      1.4    1.3    1.1    1.4      1.5   288          6.2    5.1       .4     .4    3.9       .9
        512       6.3    2.6      1.7    1.5    1.4    1.6      1.5   576          8.9   10.4       .5     .5    4.7      1.1
    """
    area = out[0] * out[1]
    smaller = size[0] < kernel[0]
    if depthwise:
        return smaller and area <= DEPTHWISE_AREA and batch * channels[0] >= DEPTHWISE
    enough = DENSE_SMALLER if smaller else DENSE
    return area <= DENSE_AREA and batch >= DENSE_BATCH and min(channels) >= enough


def by_taps(x: Tensor, grad: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of the weight, in its layout: a product a tap, over those pixels that the tap meets.

    dense: grad[pixels].T @ x[pixels moved by the tap]; depthwise: the sum of their products.
    """
    out, per_group, height, width = weight.shape
    depthwise = per_group == 1 and x.shape[1] > 1
    x, grad = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    found = weight.new_empty(out, height, width, per_group)  # a channels_last weight's own order
    rows = _spans(height, x.shape[1], grad.shape[1], stride[0], padding[0])
    columns = _spans(width, x.shape[2], grad.shape[2], stride[1], padding[1])
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            tap = found[:, i, j]
            if row is None or column is None:
                tap.zero_()
                continue
            g, v = grad[:, row[0], column[0]], x[:, row[1], column[1]]
            if depthwise:
                torch.sum(g * v, (0, 1, 2), out=tap[:, 0])
            else:
                torch.mm(g.reshape(-1, out).T, v.reshape(-1, per_group), out=tap)
    found = found.permute(0, 3, 1, 2)
    return found if found.stride() == weight.stride() else torch.empty_like(weight).copy_(found)


def _spans(kernel: int, size: int, out: int, stride: int, padding: int) -> list[tuple[slice, slice] | None]:
    """Of each tap along one axis: (outputs, inputs) where it meets a pixel; None where it meets padding only."""
    found: list[tuple[slice, slice] | None] = []
    for tap in range(kernel):
        move = tap - padding
        first, end = max(0, -(move // stride)), min(out, (size - 1 - move) // stride + 1)
        inputs = slice(first * stride + move, (end - 1) * stride + move + 1, stride)
        found.append((slice(first, end), inputs) if first < end else None)
    return found


class _Convolution(torch.autograd.Function):
    """Forward and gradient of the input are torch's own."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, groups: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding, groups
        return F.conv2d(x, weight, bias, stride, padding, 1, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, groups = ctx.how
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), groups, (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            of_weight = by_taps(x, grad, weight, stride, padding)
        if ctx.needs_input_grad[2]:
            of_bias = grad.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None, None


def taken(conv: nn.Conv2d, x: Tensor, weight: Tensor) -> bool:
    """Whether this layer's weight gets its gradient from here: by its shape and what it computes in alone."""
    kernel = conv.kernel_size
    if kernel == (1, 1) or not (weight.requires_grad and torch.is_grad_enabled()):
        return False
    if conv.groups > 1 and not conv.groups == conv.in_channels == conv.out_channels:
        return False
    if conv.dilation != (1, 1) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return False
    if not (x.dim() == 4 and x.dtype == weight.dtype == torch.float32 and x.is_cpu and weight.is_cpu):
        return False
    size = (x.shape[2], x.shape[3])
    height, width = (
        (n + 2 * padding - taps) // stride + 1
        for n, padding, taps, stride in zip(size, conv.padding, kernel, conv.stride, strict=True)
    )
    if height < 1 or width < 1 or not len(x) or x.shape[1] != conv.in_channels:
        return False  # torch explains
    channels = conv.in_channels, conv.out_channels
    return pays(
        conv.groups > 1, len(x), size, (height, width), kernel, channels
    ) and not torch.is_autocast_enabled("cpu")


_lock = Lock()
_active = 0
_original = nn.Conv2d._conv_forward


def _conv_forward(self: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor
    if taken(self, input, weight):
        found = _Convolution.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, self.stride, self.padding, self.groups
        )
    else:
        found = _original(self, input, weight, bias)
    return found


@contextmanager
def small_maps() -> Iterator[None]:
    """While active, every `nn.Conv2d` that `taken` accepts gets the gradient of its weight tap by tap."""
    global _active, _original
    with _lock:
        if not _active:
            _original = nn.Conv2d._conv_forward
            nn.Conv2d._conv_forward = _conv_forward  # type: ignore[method-assign]
        _active += 1
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if not _active:
                nn.Conv2d._conv_forward = _original  # type: ignore[method-assign]

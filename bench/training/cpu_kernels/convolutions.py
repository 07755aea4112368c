"""Weight gradients of convolutions on small maps, tap by tap: what oneDNN is slow at on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.core.compat.torch import CONVOLUTION
from bench.training.cpu_kernels import whole_maps
from bench.training.cpu_kernels.replaced import Function, Replaced
from bench.training.cpu_kernels.whole_maps import lies_channels_last, reaches_all

Pair = tuple[int, int]


@dataclass(frozen=True)
class Thresholds:
    """Which layers: their output has at most so many pixels (of a depthwise layer; of a dense one).

    depthwise: channels times images, at least: with fewer, the calls cost more than what they save. Its map must be smaller
    than its kernel, or the kernel at least `large`.
    dense_smaller, dense: channels into and out of a layer, at least: on a map smaller than its kernel, and on others.
    """

    depthwise_area: int
    depthwise: int
    large: int
    dense_area: int
    dense_smaller: int
    dense: int


NEVER = 1 << 30
AVX2 = Thresholds(49, 2048, NEVER, 49, 96, 192)
AVX512 = Thresholds(49, 4096, NEVER, 4, 128, 192)
BF16 = Thresholds(64, 1024, 5, 64, 128, 128)
DENSE_BATCH = 16


def thresholds(dtype: torch.dtype) -> Thresholds:
    """By the number format and what the processor has."""
    if dtype == torch.bfloat16:
        return BF16
    return AVX512 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else AVX2


def pays(
    dtype: torch.dtype,
    depthwise: bool,
    batch: int,
    size: Pair,
    out: Pair,
    kernel: tuple[int, ...],
    channels: Pair,
) -> bool:
    """By the shape, format and processor alone, never by a clock: the same run must give the same bits in every process.

    Forward and backward of a layer, oneDNN's processor time over ours (one core, batches of 32 and 64; kernel/stride
    @ input), by channels. The lines of 4x4 and above show why the depthwise rule asks for the input's height.

        AVX2, fp32
        dense   3x3@1  3x3@2  3x3/2@4  3x3@4  3x3@7  5x5@4  5x5/2@8   depthwise  3x3@1  3x3@2  3x3/2@4  3x3@4  5x5@4  5x5/2@8
        64        1.4    1.2       .9    1.0    1.1    1.2       .9   48           2.0    1.5       .4     .5    1.7       .5
        128       2.2    1.4      1.2    1.1    1.0    1.2      1.1   144          4.0    2.7       .5     .4    3.0       .9
        256       3.9    1.9      1.4    1.3    1.1    1.4      1.5   288          6.2    5.1       .4     .4    3.9       .9
        512       6.3    2.6      1.7    1.5    1.4    1.6      1.5   576          8.9   10.4       .5     .5    4.7      1.1
        AVX-512, fp32: its convolutions are faster, and MKL's products (on an AMD) are not
        64        1.4     .9       .9     .7     .7     .7       .7   48           1.3     .9       .6     .5     .8       .7
        128       1.8    1.0      1.0     .7     .7     .7       .9   144          2.0    1.5       .6     .5    1.2      1.3
        256       2.4    1.3      1.1     .9     .7     .9       .9   288          3.1    2.4       .6     .4    1.7      1.8
        512       2.3    1.3      1.1     .9     .8    1.2      1.1   576          5.3    3.3       .6     .4    2.2      1.8
        AVX-512, bf16
        64        1.3     .8       .8     .8     .9     .7       .9   48           2.6    2.4      1.0     .6    1.9      1.1
        128       1.9    1.1      1.2    1.0    1.1    1.1      1.2   144          6.1    5.9      1.0     .5    3.9      1.2
        256       2.8    1.7      1.7    1.3    1.2    1.3      1.5   288           11     10      1.0     .4    5.0      1.2
        512       3.5    1.7      1.7    1.3    1.2    1.6      2.0   576           21     17      1.0     .4    7.7      1.2
        bf16, depthwise, 64 images:   7x7@4   7x7@7   7x7@14   5x5@7   5x5@8
        96                              2.9     2.1      1.5     3.5     3.0
        576                              10     3.5       .9     3.6     4.2
    """
    area, of = out[0] * out[1], thresholds(dtype)
    smaller = size[0] < kernel[0]
    if depthwise:
        large = smaller or min(kernel) >= of.large
        return large and area <= of.depthwise_area and batch * channels[0] >= of.depthwise
    enough = of.dense_smaller if smaller else of.dense
    return area <= of.dense_area and batch >= DENSE_BATCH and min(channels) >= enough


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
    """Forward and gradient of the input are torch's own, but on maps that the kernel reaches all of: one matrix product."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, groups: int
    ) -> Tensor:
        ctx.how = stride, padding, groups
        size = (x.shape[2], x.shape[3])
        if (
            groups > 1
            or not reaches_all(size, weight.shape[2:], stride, padding)
            or not lies_channels_last(x)
        ):
            ctx.save_for_backward(x, weight)
            return F.conv2d(x, weight, bias, stride, padding, 1, groups)
        matrix = whole_maps.matrix_of(weight, size)
        ctx.save_for_backward(x, weight, matrix)
        return whole_maps.forward(x, matrix, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *matrix = ctx.saved_tensors
        stride, padding, groups = ctx.how
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0] and matrix:
            of_x = whole_maps.gradient(grad, *matrix)
        elif ctx.needs_input_grad[0]:
            of_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), groups, (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            of_weight = by_taps(x, grad, weight, stride, padding)
        if ctx.needs_input_grad[2]:
            of_bias = grad.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None, None


def computed_in(x: Tensor, weight: Tensor) -> torch.dtype | None:
    """The format of a convolution of these on a CPU where it is fp32 or bf16; None for all others."""
    if not (x.is_cpu and weight.is_cpu):
        return None
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        cast = {x.dtype, weight.dtype} <= {torch.float32, dtype}
        return dtype if dtype == torch.bfloat16 and cast else None
    return torch.float32 if x.dtype == weight.dtype == torch.float32 else None


def taken(conv: nn.Conv2d, x: Tensor, weight: Tensor) -> bool:
    """Whether this layer's weight gets its gradient from here: by its shape and what it computes in alone."""
    kernel = conv.kernel_size
    if kernel == (1, 1) or not (weight.requires_grad and torch.is_grad_enabled()):
        return False
    if conv.groups > 1 and not conv.groups == conv.in_channels == conv.out_channels:
        return False
    if conv.dilation != (1, 1) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return False
    dtype = computed_in(x, weight)
    if dtype is None or x.dim() != 4:
        return False
    size = (x.shape[2], x.shape[3])
    height, width = (
        (n + 2 * padding - taps) // stride + 1
        for n, padding, taps, stride in zip(size, conv.padding, kernel, conv.stride, strict=True)
    )
    if height < 1 or width < 1 or not len(x) or x.shape[1] != conv.in_channels:
        return False  # torch explains
    channels = conv.in_channels, conv.out_channels
    return pays(dtype, conv.groups > 1, len(x), size, (height, width), kernel, channels)


def _instead(former: Function) -> Function:
    def _conv_forward(self: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        found: Tensor
        if taken(self, input, weight):
            dtype = computed_in(input, weight)
            x, w, b = (t if t is None else t.to(dtype) for t in (input, weight, bias))
            found = _Convolution.apply(x, w, b, self.stride, self.padding, self.groups)  # type: ignore[no-untyped-call]
        else:
            found = former(self, input, weight, bias)
        return found

    return _conv_forward


small_maps = Replaced(*CONVOLUTION, _instead)
"""While active, every `nn.Conv2d` that `taken` accepts gets the gradient of its weight tap by tap."""

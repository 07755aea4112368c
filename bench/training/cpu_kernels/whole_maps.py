"""Convolutions whose kernel reaches the whole map from every pixel: dense layers, and faster as one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

Pair = tuple[int, int]


def reaches_all(size: Pair, kernel: tuple[int, ...], stride: Pair, padding: Pair) -> bool:
    """Whether each output sees each input through a tap, as with 3x3 on 2x2 pixels; the output is as large as the input.

    Forward and gradient of the input, oneDNN's processor time over this one's, matrix included (one core with AVX-512;
    16, 32, 64 images):

        channels        128@2              256@2              512@2              512@1            128, 5x5@3
        bf16        1.9, 2.1, 2.5      2.3, 2.5, 2.7      2.7, 3.2, 3.4      11, 11, 11      1.9, 2.2, 2.6
        fp32        1.0, 1.1, 1.1      1.3, 1.5, 1.6      1.2, 1.4, 1.4       8,  6,  5       .9,  .95, 1.1
    """
    return stride == (1, 1) and all(
        taps == 2 * around + 1 and pixels - 1 <= around
        for pixels, taps, around in zip(size, kernel, padding, strict=True)
    )


def matrix_of(weight: Tensor, size: Pair) -> Tensor:
    """[out, in, height, width] of a kernel -> [pixels x out, pixels x in], whose product with a map's pixels, channels last,
    is the convolution."""
    out, into, height, width = weight.shape
    kernel = weight.permute(0, 2, 3, 1)  # [out, height, width, in]
    matrix = weight.new_empty(*size, out, *size, into)
    for row in range(size[0]):
        for column in range(size[1]):
            top, left = height // 2 - row, width // 2 - column
            matrix[row, column] = kernel[:, top : top + size[0], left : left + size[1]]
    return matrix.view(size[0] * size[1] * out, size[0] * size[1] * into)


def forward(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """x [B, in, H, W] -> [B, out, H, W], both channels last."""
    found = _of_pixels(_pixels(x) @ matrix.T, x)
    return found if bias is None else found.add_(bias[:, None, None])


def gradient(of_output: Tensor, matrix: Tensor) -> Tensor:
    """Of the input, from that of the output."""
    return _of_pixels(_pixels(of_output) @ matrix, of_output)


def _pixels(x: Tensor) -> Tensor:
    """[B, H W C], a view where the channels lie last."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1)


def _of_pixels(rows: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return rows.view(len(rows), height, width, -1).permute(0, 3, 1, 2)


def lies_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)

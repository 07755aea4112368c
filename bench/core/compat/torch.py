"""What is used of torch beyond its documented interface. Imports torch.

Each part with the reason why no documented one does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import (
    _BatchNorm as AnyBatchNorm,  # of 1, 2 and 3 dimensions, synchronised or lazy
)
from torch.nn.modules.module import _IncompatibleKeys as IncompatibleKeys  # what `load_state_dict` returns
from torch.optim.adam import (
    adam,  # one step of one tensor: the classes keep a state by parameter, of one rate each
)
from torch.optim.sgd import sgd

from bench.core.compat import VersionRange

TESTED = VersionRange("torch", "2.13", "2.13")

CONVOLUTION = (nn.Conv2d, "_conv_forward")
"""Called with (input, weight, bias) after the layer's own padding: replacing `forward` instead would miss timm's subclasses,
and `F.conv2d` would tell nothing of the layer."""

__all__ = [
    "CONVOLUTION",
    "TESTED",
    "AnyBatchNorm",
    "IncompatibleKeys",
    "adam",
    "resize_uint8",
    "sgd",
    "tensor_version",
]


def tensor_version(tensor: Tensor) -> int:
    """A number that changes with each write in place. Comparing contents instead would read every weight once more."""
    version: int = tensor._version
    return version


def resize_uint8(image: Tensor, size: int) -> Tensor:
    """image [1, 3, H, W] uint8 -> [1, 3, size, size] uint8: bilinear, antialiased.

    `F.interpolate` calls this kernel too, after checks that take as long as the kernel on small crops.
    """
    resized: Tensor = torch.ops.aten._upsample_bilinear2d_aa(image, [size, size], False, None, None)
    return resized

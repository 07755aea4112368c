"""Augmentation of whole batches on the device: uint8 in, normalised floats out.

A random-resized-crop is two batched matrix products, one with each image's row resampling matrix and one with
its column resampling matrix; a mirrored image is one whose column matrix is upside down. (But see `ONE_BY_ONE`.)
What is random is drawn on the CPU, so every device sees the same crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from bench.core.compat.torch import resize_uint8
from bench.data.images import ImageSet, centre_crop

Kind = Literal["none", "flip", "crop"]

SCALE = (0.08, 1.0)  # share of the image's area
RATIO = (3 / 4, 4 / 3)  # width / height
_TRIES = 10
ONE_BY_ONE = 64
"""Pixels. Matrix products of crops at least as large take longer on a CPU than torch's kernel image by image: 1.2 times
at 64 pixels, 4 at 128, 5 at 224 (at 32 they take .6 of its time)."""


class Boxes(NamedTuple):
    """Crops in pixels, each [B] int64 on the CPU."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class Drawn(NamedTuple):
    """What is random about the views of B images: crops, and [B] bool whether mirrored; None where there is none."""

    boxes: Boxes | None = None
    mirrored: Tensor | None = None


def draw(
    kind: Kind,
    n: int,
    side: int,
    generator: Generator,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
) -> Drawn:
    """A random view of each of `n` square images of `side` pixels. Raises ValueError for an unknown kind.

    none: centre crop. flip: that, mirrored at random. crop: random-resized-crop, mirrored at random. `generator` is a CPU
    generator.
    """
    if kind not in ("none", "flip", "crop"):
        raise ValueError(f"augmentation {kind!r}: want none, flip or crop")
    boxes = random_boxes(n, side, generator, scale, ratio) if kind == "crop" else None
    return Drawn(boxes, None if kind == "none" else random_flips(n, generator))


def taken(
    images: ImageSet, index: Tensor, drawn: Drawn, size: int, device: torch.device
) -> Tensor | list[Tensor]:
    """The images at `index` [B] for `view`: on the device, or as they lie where it cuts crops one by one."""
    if drawn.boxes is not None and _one_by_one(device, size):
        return images.each(index)
    return images.at(index.to(images.stored.device)).to(device)


def view(
    x: Tensor | list[Tensor], drawn: Drawn, size: int, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """x [B, 3, S, S] uint8 -> the views of them that were drawn, [B, 3, size, size] float32, channels_last.

    They are normalised: (x / 255 - mean) / std, `mean` and `std` per channel.
    """
    boxes, mirrored = drawn
    if boxes is not None and mirrored is not None:
        return resized_crop(x, boxes, mirrored, size, mean, std)
    assert isinstance(x, Tensor)
    x = centre_crop(x, size)
    return normalise(x if mirrored is None else _mirror(x, mirrored.to(x.device)), mean, std)


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """x [B, 3, H, W] uint8 -> float32 of that shape, channels_last: (x / 255 - mean) / std."""
    out = x.to(torch.float32, memory_format=torch.channels_last)
    pixels = out.permute(0, 2, 3, 1).flatten(2)  # [B, H, 3 W], a view
    gain, offset = _affine_rows(tuple(mean), tuple(std), x.shape[-1], x.device)
    torch.addcmul(offset, pixels, gain, out=pixels)
    return out


def random_flips(n: int, generator: Generator) -> Tensor:
    """[n] bool on the CPU: true with probability one half."""
    return torch.rand(n, generator=generator) < 0.5


def random_boxes(
    n: int,
    side: int,
    generator: Generator,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
) -> Boxes:
    """`n` crops of a square image of `side` pixels, distributed as torchvision's RandomResizedCrop.

    Area and log aspect ratio are uniform; the first of ten tries that fits is taken, else the central crop.
    """
    area = side * side * _uniform(generator, scale[0], scale[1], n, _TRIES)
    log_ratio = torch.tensor(ratio).log().tolist()
    aspect = _uniform(generator, log_ratio[0], log_ratio[1], n, _TRIES).exp()
    width, height = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (width > 0) & (width <= side) & (height > 0) & (height <= side)
    first = fits.int().argmax(dim=1, keepdim=True)
    fallback = _central(side, ratio)
    any_fits = fits.any(dim=1)
    height = torch.where(any_fits, height.gather(1, first)[:, 0], fallback[0])
    width = torch.where(any_fits, width.gather(1, first)[:, 0], fallback[1])
    u = torch.rand(2, n, generator=generator)
    u[:, ~any_fits] = 0.5
    top, left = ((u[0] * (side - height + 1)).long(), (u[1] * (side - width + 1)).long())
    return Boxes(top, left, height, width)


def resized_crop(
    x: Tensor | list[Tensor],
    boxes: Boxes,
    mirrored: Tensor,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Each image's box, resized to `size` (bilinear, antialiased), mirrored where `mirrored` [B], normalised.

    x [B, 3, S, S] uint8 -> [B, 3, size, size] float32, channels_last. Larger crops are rounded to grey levels on CPU,
    as torchvision's of uint8 images are; .3 grey levels on average.
    """
    if isinstance(x, list) or _one_by_one(x.device, size):
        return normalise(_resized_one_by_one(x, boxes, mirrored, size), mean, std)
    side = x.shape[-1]
    top, left, height, width, flip = torch.stack([*boxes, mirrored]).to(x.device)  # one transfer
    rows, columns = resampling(top, height, size, side), resampling(left, width, size, side)
    columns = torch.where(flip.bool()[:, None, None], columns.flip(1), columns)
    wide = torch.bmm(x.flatten(1, 2).float(), columns.mT).unflatten(1, (3, side))  # [B, 3, S, size]
    gain, offset = _affine(mean, std)
    channels = zip(wide.unbind(1), gain, offset, strict=True)
    # the normalisation rides along in the second product
    out = [torch.baddbmm(wide.new_full((), o), rows, channel, alpha=g) for channel, g, o in channels]
    return torch.stack(out, dim=-1).permute(0, 3, 1, 2)


def _one_by_one(device: torch.device, size: int) -> bool:
    return device.type == "cpu" and size >= ONE_BY_ONE


def _resized_one_by_one(x: Tensor | list[Tensor], boxes: Boxes, mirrored: Tensor, size: int) -> Tensor:
    """[B, 3, size, size] uint8 by torch's kernel for such images: the fastest of them has the channels last."""
    out = torch.empty((len(x), 3, size, size), dtype=torch.uint8, memory_format=torch.channels_last)
    boxed = torch.stack([*boxes], dim=1).tolist()
    for i, (image, (top, left, height, width), flip) in enumerate(
        zip(x, boxed, mirrored.tolist(), strict=True)
    ):
        crop = image[None, :, top : top + height, left : left + width]
        resized = resize_uint8(crop, size)[0]
        out[i] = resized.flip(-1) if flip else resized
    return out


def resampling(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """[B, size, side] float32: row i holds the weights of output pixel i over the input's `side` pixels.

    The triangle filter around the output pixel's centre, as wide as an output pixel but never below an input
    pixel, cut off at the box `start` .. `start + length` (each [B], pixels).
    """
    start, length = start.float()[:, None, None], length.float()[:, None, None]
    step = length / size
    pixel = torch.arange(side, device=start.device) + 0.5 - start  # [B, 1, side]
    centre = (torch.arange(size, device=start.device)[:, None] + 0.5) * step  # [B, size, 1]
    weight = (1 - (pixel - centre).abs_().div_(step.clamp(min=1))).clamp_(min=0)
    weight.mul_((pixel > 0) & (pixel < length))
    return weight.div_(weight.sum(dim=-1, keepdim=True))


def _affine(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    """Per channel gain and offset such that gain * x + offset is the normalised uint8 x."""
    return [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)]


@lru_cache(maxsize=16)
def _affine_rows(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Gain and offset, each [3 width], of a row of pixels: long rows vectorise, three channels would not."""
    gain, offset = _affine(mean, std)
    return torch.tensor(gain, device=device).repeat(width), torch.tensor(offset, device=device).repeat(width)


def _mirror(x: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def _uniform(generator: Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _central(side: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest central crop of a square within the ratios."""
    if ratio[0] > 1:
        return round(side / ratio[0]), side
    return (side, round(side * ratio[1])) if ratio[1] < 1 else (side, side)

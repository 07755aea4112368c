"""Synthetic datasets: labelled images as a pure function of integers.

Images are drawn in blocks of fixed size, each with seeds of its own for the objects, the alien half, the
blend and the pixel noise. So datasets with the same key, draw and split show the same poses and colours at any
size and at any similarity, and comparisons along the similarity setting are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.images import ImageSet
from bench.data.synthetic.base import ImageFamily, generator, pulled, rows
from bench.data.synthetic.glyphs import Glyphs
from bench.data.synthetic.objects import Objects
from bench.data.synthetic.recipe import Recipe
from bench.data.synthetic.spectro import Spectro

SOURCE = Objects()
ALIENS: dict[str, ImageFamily[Any, Any]] = {"spectro": Spectro(), "glyph": Glyphs()}

NOISE = 0.04  # standard deviation of the pixel noise, of full scale
CONCENTRATION = 2.0  # of the Beta distribution of blend weights
BLOCK = 256  # images that share a seed
PAINT_PIXELS = 256 * 32 * 32  # painted at once, so that memory does not grow with the size

# what a seed is for
_PROTOTYPES, _ORDER, _FACTORS, _GRAIN, _BLEND, _NOISE = range(6)
_SPLITS = {"pool": 0, "test": 1}

Painter = Callable[[slice], Tensor]


def render(recipe: Recipe, split: str, per_class: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The images of "pool" or "test" in random order, in blocks: x uint8 [b, 3, size, size], y int64 [b]."""
    seed = (recipe.key, recipe.draw, _SPLITS[split])
    y = torch.arange(recipe.num_classes).repeat_interleave(per_class)
    y = y[torch.randperm(len(y), generator=generator(_ORDER, *seed))]
    families = _families(recipe)
    for number, labels in enumerate(y.split(BLOCK)):
        yield _block(recipe, families, labels, size, (*seed, number)), labels


def make(recipe: Recipe, split: str, per_class: int, size: int) -> ImageSet:
    """The whole split in memory."""
    x, y = zip(*render(recipe, split, per_class, size), strict=True)
    return ImageSet(torch.cat(x), torch.cat(y))


def _families(recipe: Recipe) -> list[tuple[ImageFamily[Any, Any], object]]:
    """The families that the recipe uses, the source's first, each with its prototypes."""
    used = [SOURCE] * (recipe.similarity > 0) + [ALIENS[recipe.alien]] * (recipe.similarity < 1)
    return [(family, _prototypes(family, recipe)) for family in used]


def _prototypes(family: ImageFamily[Any, Any], recipe: Recipe) -> object:
    g = generator(_PROTOTYPES, family.key, recipe.key, recipe.draw)
    return pulled(family.draw_classes(recipe.num_classes, g), recipe.spread)


def _block(
    recipe: Recipe,
    families: list[tuple[ImageFamily[Any, Any], object]],
    y: Tensor,
    size: int,
    seed: tuple[int, ...],
) -> Tensor:
    """uint8 [b, 3, size, size]: one image per label."""
    painters = [_painter(family, classes, y, size, seed) for family, classes in families]
    weight = _blend_weights(recipe.similarity, len(y), seed)
    noise = generator(_NOISE, *seed)
    out = torch.empty(len(y), 3, size, size, dtype=torch.uint8)
    at_once = max(1, PAINT_PIXELS // size**2)
    for start in range(0, len(y), at_once):
        part = slice(start, min(start + at_once, len(y)))
        x = _blended([paint(part) for paint in painters], weight[part])
        x = x + NOISE * torch.randn(len(x), 3, size, size, generator=noise)
        out[part] = x.mul_(255).round_().clamp_(0, 255)
    return out


def _painter(
    family: ImageFamily[Any, Any], classes: object, y: Tensor, size: int, seed: tuple[int, ...]
) -> Painter:
    """Draws the block's factors; returns what paints a slice of it, to be called in order."""
    factors = family.sample(classes, y, generator(_FACTORS, family.key, *seed))
    grain = generator(_GRAIN, family.key, *seed)
    return lambda part: family.paint(rows(factors, part), size, grain)


def _blended(layers: list[Tensor], weight: Tensor) -> Tensor:
    """weight [n] of the first layer, the rest of the second, where there are two."""
    if len(layers) == 1:
        return layers[0]
    return torch.lerp(layers[1].expand_as(layers[0]), layers[0], weight[:, None, None, None])


def _blend_weights(similarity: float, n: int, seed: tuple[int, ...]) -> Tensor:
    """[n] float32: the share of the source's family in each image, on average `similarity`."""
    if similarity in (0, 1):
        return torch.full((n,), float(similarity))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((_BLEND, *seed))))
    weights = rng.beta(CONCENTRATION * similarity, CONCENTRATION * (1 - similarity), n)
    return torch.from_numpy(weights).float()

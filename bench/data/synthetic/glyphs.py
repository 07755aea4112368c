"""Line drawings: grey strokes on black, dissimilar to objects.

A class is a polyline through five points, as an open digit-like stroke. Every image also has two short
strokes that say nothing about the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from bench.data.synthetic.base import ImageFamily, image, normal, pixel_grid, uniform

POINTS = 5
REACH = 0.75  # points lie within this distance of the centre, in x and in y


@dataclass(frozen=True)
class GlyphClasses:
    points: Tensor  # [K, 5, 2]: x, y


@dataclass(frozen=True)
class GlyphFactors:
    points: Tensor  # [n, 5, 2]: in place, in the image
    distractors: Tensor  # [n, 2, 2, 2]: two strokes, of two points
    width: Tensor  # [n]
    ink: Tensor  # [n] brightness
    grain: Tensor  # [n] amplitude of the noise


class Glyphs(ImageFamily[GlyphClasses, GlyphFactors]):
    """See the module."""

    key = 3

    def draw_classes(self, num_classes: int, g: Generator) -> GlyphClasses:
        return GlyphClasses(uniform(g, -REACH, REACH, num_classes, POINTS, 2))

    def sample(self, classes: GlyphClasses, y: Tensor, g: Generator) -> GlyphFactors:
        n = len(y)
        points = classes.points[y] + 0.09 * normal(g, n, POINTS, 2)
        return GlyphFactors(
            points=_placed(points, g),
            distractors=uniform(g, -1, 1, n, 2, 2, 2),
            width=uniform(g, 0.04, 0.09, n),
            ink=uniform(g, 0.35, 0.9, n),
            grain=uniform(g, 0, 0.25, n),
        )

    def paint(self, f: GlyphFactors, size: int, g: Generator) -> Tensor:
        strokes = [(f.points[:, k], f.points[:, k + 1]) for k in range(POINTS - 1)]
        strokes += [(f.distractors[:, k, 0], f.distractors[:, k, 1]) for k in range(2)]
        nearest = squared_distance(*strokes[0], size)
        for start, end in strokes[1:]:
            nearest = torch.minimum(nearest, squared_distance(start, end, size))
        ink = torch.exp(-nearest / image(2 * f.width**2)) * image(f.ink)
        return (ink + image(f.grain) * torch.rand(ink.shape, generator=g))[:, None]


def _placed(points: Tensor, g: Generator) -> Tensor:
    """[n, 5, 2] turned, scaled and moved at random."""
    n = len(points)
    angle, scale = uniform(g, -0.5, 0.5, n, 1), uniform(g, 0.75, 1.1, n, 1)
    cos, sin, (x, y) = angle.cos() * scale, angle.sin() * scale, points.unbind(dim=-1)
    turned = torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)
    return turned + uniform(g, -0.25, 0.25, n, 1, 2)


def squared_distance(start: Tensor, end: Tensor, size: int) -> Tensor:
    """Of every pixel to the segment from `start` to `end` (each [n, 2]): [n, size, size]."""
    x, y = pixel_grid(size)
    (x0, y0), (ex, ey) = start.unbind(dim=1), (end - start).unbind(dim=1)
    dx, dy = x - image(x0), y - image(y0)
    along = (dx * image(ex) + dy * image(ey)) / image(ex * ex + ey * ey + 1e-4)
    along = along.clamp_(0, 1)
    return (dx - along * image(ex)).square_() + (dy - along * image(ey)).square_()

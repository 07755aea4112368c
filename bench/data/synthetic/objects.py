"""Textured objects before a backdrop: the family of the source, and of targets similar to it.

A class is a contour and a texture. The contour is star-convex, its radius a Fourier series of the angle with
harmonics 2 to 5; the texture is two gratings, mixed and hardened towards stripes. Colours, pose and backdrop
say nothing about the class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from bench.data.synthetic.base import TURN, ImageFamily, image, normal, pixel_grid, rgb, uniform

AMPLITUDE = torch.tensor([0.30, 0.26, 0.22, 0.18])  # of the contour's harmonics 2, 3, 4, 5
CONTOUR_NORM = 1.6  # length of a class's eight coefficients, before the amplitudes
FREQUENCY = (0.8, 3.2)  # of a grating, in waves per object radius
HARDNESS = (0.5, 4.0)  # from a sine to stripes
MIN_RADIUS = 0.25  # of the contour, in object radii
EDGE = 0.9  # softness of the contour: about a pixel at any size


@dataclass(frozen=True)
class ObjectClasses:
    contour: Tensor  # [K, 8]: cosine, then sine coefficients
    frequency: Tensor  # [K, 2] of the two gratings
    direction: Tensor  # [K, 2] radians
    mix: Tensor  # [K]: 0 the first grating leads, 1 the second
    hardness: Tensor  # [K]


@dataclass(frozen=True)
class ObjectFactors:
    rotation: Tensor  # [n] radians
    radius: Tensor  # [n]
    centre: Tensor  # [n, 2]: x, y
    contour: Tensor  # [n, 8]
    frequency: Tensor  # [n, 2]
    direction: Tensor  # [n, 2]
    phase: Tensor  # [n, 2]
    mix: Tensor  # [n]
    hardness: Tensor  # [n]
    colours: Tensor  # [n, 2, 3]: the texture's two ends
    backdrop: Tensor  # [n, 3] colour
    backdrop_contrast: Tensor  # [n, 3]
    backdrop_wave: Tensor  # [n, 4]: x and y frequencies of two waves
    backdrop_phase: Tensor  # [n, 2]


class Objects(ImageFamily[ObjectClasses, ObjectFactors]):
    """See the module."""

    key = 1

    def draw_classes(self, num_classes: int, g: Generator) -> ObjectClasses:
        contour = normal(g, num_classes, 8)
        contour = contour / contour.norm(dim=1, keepdim=True) * CONTOUR_NORM
        low, high = (math.log(f) for f in FREQUENCY)
        return ObjectClasses(
            contour=contour * AMPLITUDE.repeat(2),
            frequency=uniform(g, low, high, num_classes, 2).exp(),
            direction=uniform(g, 0, math.pi, num_classes, 2),
            mix=uniform(g, 0, 1, num_classes),
            hardness=uniform(g, *HARDNESS, num_classes),
        )

    def sample(self, classes: ObjectClasses, y: Tensor, g: Generator) -> ObjectFactors:
        n = len(y)
        return ObjectFactors(
            rotation=uniform(g, -0.8, 0.8, n),
            radius=uniform(g, 0.5, 0.8, n),
            centre=uniform(g, -0.25, 0.25, n, 2),
            contour=classes.contour[y] + 0.05 * normal(g, n, 8),
            frequency=classes.frequency[y] * uniform(g, 0.92, 1.08, n, 2),
            direction=classes.direction[y] + 0.08 * normal(g, n, 2),
            phase=uniform(g, 0, TURN, n, 2),
            mix=classes.mix[y],
            hardness=classes.hardness[y],
            colours=_texture_colours(n, g),
            backdrop=rgb(uniform(g, 0, 1, n), uniform(g, 0, 0.7, n), uniform(g, 0.2, 0.8, n)),
            backdrop_contrast=uniform(g, -0.25, 0.25, n, 3),
            backdrop_wave=2.2 * normal(g, n, 4),
            backdrop_phase=uniform(g, 0, TURN, n, 2),
        )

    def paint(self, f: ObjectFactors, size: int, g: Generator) -> Tensor:
        u, v = _object_coordinates(f, size)
        mask, texture, waves = _inside(f, u, v, size), _texture(f, u, v), _backdrop(f, size)
        out = torch.empty(len(u), 3, size, size)
        for c in range(3):  # by channel: the intermediates stay in the processor's cache
            first, second = image(f.colours[:, 0, c]), image(f.colours[:, 1, c])
            behind = image(f.backdrop[:, c]) + waves * image(f.backdrop_contrast[:, c])
            torch.lerp(behind, first + texture * (second - first), mask, out=out[:, c])
        return out


def _texture_colours(n: int, g: Generator) -> Tensor:
    """[n, 2, 3]: a light and a darker colour of nearby hue, in random order."""
    hue = uniform(g, 0, 1, n)
    light = rgb(hue, uniform(g, 0.2, 0.9, n), uniform(g, 0.55, 1, n))
    dark = rgb((hue + uniform(g, 0, 0.5, n)) % 1, uniform(g, 0.2, 0.9, n), uniform(g, 0.1, 0.5, n))
    pair = torch.stack([light, dark], dim=1)
    swapped = torch.rand(n, generator=g) < 0.5
    return torch.where(swapped[:, None, None], pair.flip(1), pair)


def _object_coordinates(f: ObjectFactors, size: int) -> tuple[Tensor, Tensor]:
    """Pixels in the object's frame: turned, centred, in units of its radius. Each [n, size, size]."""
    x, y = pixel_grid(size)
    dx, dy = x - image(f.centre[:, 0]), y - image(f.centre[:, 1])
    cos, sin = image(f.rotation.cos() / f.radius), image(f.rotation.sin() / f.radius)
    return dx * cos + dy * sin, dy * cos - dx * sin


def _inside(f: ObjectFactors, u: Tensor, v: Tensor, size: int) -> Tensor:
    """1 within the contour, 0 outside, a pixel's width between."""
    distance = (u * u + v * v + 1e-6).sqrt()
    cos, sin = u / distance, v / distance
    contour, cos_k, sin_k = torch.ones(()), cos, sin
    for k in range(4):  # harmonics 2, 3, 4, 5 by the addition theorems: no arctangent
        cos_k, sin_k = cos_k * cos - sin_k * sin, sin_k * cos + cos_k * sin
        contour = contour + image(f.contour[:, k]) * cos_k + image(f.contour[:, 4 + k]) * sin_k
    return torch.sigmoid((contour.clamp(min=MIN_RADIUS) - distance) * image(f.radius) * size * EDGE)


def _texture(f: ObjectFactors, u: Tensor, v: Tensor) -> Tensor:
    """Two gratings, mixed and hardened, in [0, 1]."""
    wave_u, wave_v = TURN * f.frequency * f.direction.cos(), TURN * f.frequency * f.direction.sin()
    first, second = (
        torch.sin(u * image(wave_u[:, i]) + v * image(wave_v[:, i]) + image(f.phase[:, i])) for i in range(2)
    )
    mixed = first * image(1 - 0.7 * f.mix) + second * image(0.3 + 0.7 * f.mix)
    return torch.tanh(mixed * image(f.hardness)) * 0.5 + 0.5


def _backdrop(f: ObjectFactors, size: int) -> Tensor:
    """The product of a slow and a faster wave, in [-1, 1]."""
    x, y = pixel_grid(size)
    w, phase = f.backdrop_wave, f.backdrop_phase
    slow = torch.sin(x * image(w[:, 0]) + y * image(w[:, 1]) + image(phase[:, 0]))
    return slow * torch.sin(x * image(2 * w[:, 2]) + y * image(2 * w[:, 3]) + image(phase[:, 1]))

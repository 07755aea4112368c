"""Spectrogram-like images: grey ridges over the whole field, dissimilar to objects.

A class is a chirp with harmonics: a curve over x (a slope and a sine), repeated upwards at a spacing, fading
from harmonic to harmonic, pulsing along x. Two chirps of no class interfere; everything is speckled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from bench.data.synthetic.base import TURN, ImageFamily, image, normal, pixel_grid, uniform

HARMONICS = 4
CHIRP = (0.4, 1.8)  # half waves of a curve's sine across the image


@dataclass(frozen=True)
class SpectroClasses:
    slope: Tensor  # each [K]
    bend: Tensor  # amplitude of the curve's sine
    half_waves: Tensor  # of the curve's sine
    spacing: Tensor  # between harmonics
    decay: Tensor  # of brightness, from harmonic to harmonic
    pulses: Tensor  # along x
    pulse_depth: Tensor
    width: Tensor  # of a ridge


@dataclass(frozen=True)
class Curves:
    """Curves y = offset + slope x + bend sin(pi half_waves x + phase), each field [n]."""

    offset: Tensor
    slope: Tensor
    bend: Tensor
    half_waves: Tensor
    phase: Tensor
    width: Tensor


@dataclass(frozen=True)
class SpectroFactors:
    curve: Tensor  # [n, 6]: the fields of Curves
    clutter: Tensor  # [n, 2, 6]
    clutter_ink: Tensor  # [n, 2]
    spacing: Tensor  # [n]
    decay: Tensor
    pulses: Tensor
    pulse_phase: Tensor
    pulse_depth: Tensor
    ink: Tensor
    grain: Tensor


class Spectro(ImageFamily[SpectroClasses, SpectroFactors]):
    """See the module."""

    key = 2

    def draw_classes(self, num_classes: int, g: Generator) -> SpectroClasses:
        return SpectroClasses(
            slope=uniform(g, -0.9, 0.9, num_classes),
            bend=uniform(g, 0, 0.38, num_classes),
            half_waves=uniform(g, *CHIRP, num_classes),
            spacing=uniform(g, 0.28, 0.75, num_classes),
            decay=uniform(g, 0.45, 1, num_classes),
            pulses=uniform(g, 0.5, 3, num_classes),
            pulse_depth=uniform(g, 0, 1, num_classes),
            width=uniform(g, 0.05, 0.11, num_classes),
        )

    def sample(self, classes: SpectroClasses, y: Tensor, g: Generator) -> SpectroFactors:
        n = len(y)
        return SpectroFactors(
            curve=_class_curve(classes, y, g),
            clutter=_clutter_curves(n, g),
            clutter_ink=uniform(g, 0.3, 1, n, 2),
            spacing=classes.spacing[y] * uniform(g, 0.88, 1.12, n),
            decay=classes.decay[y],
            pulses=classes.pulses[y] * uniform(g, 0.9, 1.1, n),
            pulse_phase=uniform(g, 0, TURN, n),
            pulse_depth=classes.pulse_depth[y],
            ink=uniform(g, 0.35, 0.9, n),
            grain=uniform(g, 0, 0.3, n),
        )

    def paint(self, f: SpectroFactors, size: int, g: Generator) -> Tensor:
        x, _ = pixel_grid(size)
        harmonics = range(HARMONICS)
        signal = sum(image(f.decay**h) * ridge(f.curve, size, h * f.spacing) for h in harmonics)
        pulse = 0.5 + 0.5 * torch.sin(TURN * image(f.pulses) * x + image(f.pulse_phase))
        signal = signal * (1 - 0.9 * image(f.pulse_depth) * pulse)
        for k in range(2):
            signal = signal + image(f.clutter_ink[:, k]) * ridge(f.clutter[:, k], size)
        speckle = torch.rand(signal.shape, generator=g)
        lit = signal.clamp(max=1.3) * image(f.ink) * (0.5 + 0.5 * speckle)
        return (lit + image(f.grain) * speckle)[:, None]


def ridge(curve: Tensor, size: int, shift: Tensor | float = 0.0) -> Tensor:
    """A Gaussian ridge along `curve` [n, 6] moved down by `shift` [n]: [n, size, size], 1 on the curve."""
    x, y = pixel_grid(size)
    c = Curves(*curve.unbind(dim=1))
    middle = image(c.offset + shift) + image(c.slope) * x
    middle = middle + image(c.bend) * torch.sin(math.pi * image(c.half_waves) * x + image(c.phase))
    return torch.exp(-0.5 * ((y - middle) / image(c.width)).square_())


def _class_curve(classes: SpectroClasses, y: Tensor, g: Generator) -> Tensor:
    n = len(y)
    fields = [
        uniform(g, -0.9, -0.2, n),
        classes.slope[y] + 0.15 * normal(g, n),
        classes.bend[y] * uniform(g, 0.8, 1.2, n),
        classes.half_waves[y] * uniform(g, 0.85, 1.18, n),
        uniform(g, 0, TURN, n),
        classes.width[y] * uniform(g, 0.8, 1.25, n),
    ]
    return torch.stack(fields, dim=1)


def _clutter_curves(n: int, g: Generator) -> Tensor:
    ranges = [(-1, 1), (-1.2, 1.2), (-0.4, 0.4), CHIRP, (0, TURN), (0.05, 0.12)]
    return torch.stack([uniform(g, low, high, n, 2) for low, high in ranges], dim=-1)

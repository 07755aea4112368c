"""Differences of two strategies over seeds crossed with test images, both drawn at random.

Every seed's networks are judged on the same images, so that D[s, i] = right of one - right of the other has two sources
of chance: another seed, and another image. In a two-way random-effects layout without replication, of S seeds and I images,

    Var(mean) = (MS_seed + MS_image - MS_rest) / (S I)

with Satterthwaite's degrees of freedom. MS_seed / (S I) alone is what an interval over seeds uses: it speaks for these
images only. The part of the images, (MS_image - MS_rest) / (S I), is taken as 0 where it comes out below, so that the
variance is never below that over seeds; nor is the interval ever narrower, though it has more degrees of freedom: with three
seeds it would be (docs/statistics.md, table 8).

Over several datasets, the mean of their means: seeds count by their mean over the datasets, whatever a seed's draws on
different datasets have in common; images of different datasets are drawn apart, so their parts add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.analysis.stats import LEVEL, t_quantile


@dataclass(frozen=True)
class Crossed:
    """The mean difference. Intervals (low, high) are nan below two seeds.

    Attributes:
        seeds: How many, the same on every dataset.
        images: Test images of all datasets.
        over_seeds: Interval for these test images and other seeds.
        over_both: Interval for other seeds and other test images.
    """

    mean: float
    seeds: int
    images: int
    datasets: int
    over_seeds: tuple[float, float]
    over_both: tuple[float, float]


def crossed(differences: Sequence[np.ndarray], level: float = LEVEL) -> Crossed:
    """differences: of each dataset [S, I], in the same order of seeds; means over sizes and backbones, if any."""
    per_seed = np.mean([d.mean(axis=1) for d in differences], axis=0)  # [S]
    mean, seeds = float(per_seed.mean()), len(per_seed)
    images = sum(d.shape[1] for d in differences)
    if seeds < 2:
        nothing = (math.nan, math.nan)
        return Crossed(mean, seeds, images, len(differences), nothing, nothing)
    of_seeds = max(float(per_seed.var(ddof=1)), _rounding(differences)) / seeds
    parts = [_of_images(d, len(differences)) for d in differences]
    total = of_seeds + sum(variance for variance, _ in parts)
    spread = of_seeds**2 / (seeds - 1) + sum(uncertainty for _, uncertainty in parts)
    df = total**2 / spread if spread > 0 else seeds - 1.0
    p = (1 + level) / 2
    half = t_quantile(seeds - 1, p) * math.sqrt(of_seeds)
    both = max(half, t_quantile(max(df, 1.0), p) * math.sqrt(total))
    return Crossed(
        mean, seeds, images, len(differences), (mean - half, mean + half), (mean - both, mean + both)
    )


def _rounding(differences: Sequence[np.ndarray]) -> float:
    """Variance that a seed's difference has from rounding alone: seeds that happen to agree prove no more than that."""
    steps: list[float] = [1 / d.shape[1] for d in differences]
    return math.fsum(step * step / 6 for step in steps) / len(differences) ** 2


def _of_images(d: np.ndarray, datasets: int) -> tuple[float, float]:
    """d [S, I] -> the part of its images in the variance of the mean, and its term in Satterthwaite's sum."""
    seeds, images = d.shape
    if images < 2:
        return 0.0, 0.0
    per_seed, per_image = d.mean(axis=1, keepdims=True), d.mean(axis=0, keepdims=True)
    rest_df = (seeds - 1) * (images - 1)
    ms_rest = float(np.square(d - per_seed - per_image + d.mean()).sum()) / rest_df
    ms_image = seeds * float(per_image.var(ddof=1))
    if ms_image <= ms_rest:
        return 0.0, 0.0
    scale = 1 / (d.size * datasets**2)
    uncertainty = ms_image**2 / (images - 1) + ms_rest**2 / rest_df
    return scale * (ms_image - ms_rest), scale**2 * uncertainty

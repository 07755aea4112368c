"""Two strategies whose true difference is known, over seeds crossed with test images.

Whether seed s of strategy j has image i right is a threshold on

    ability_j + difficulty_i + taste_ij + luck_sj + noise_sij        (normal; noise has sd 1)

difficulty is shared by both strategies, so it cancels in part; taste is what one of them makes of an image, whatever the
seed; luck is what a seed makes of a strategy on all images. The truth is the difference over all images and seeds there
might be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from reports.analysis.crossed import Crossed, crossed


@dataclass(frozen=True)
class Pair:
    """ability: of the two strategies. difficulty, taste, luck: standard deviations, in units of the noise."""

    ability: tuple[float, float] = (1.0, 0.8)
    difficulty: float = 1.0
    taste: float = 0.5
    luck: float = 0.1
    seeds: int = 5
    images: tuple[int, ...] = (200,)  # of each dataset

    @property
    def truth(self) -> float:
        spread = np.sqrt(1 + self.difficulty**2 + self.taste**2 + self.luck**2)
        own, other = ndtr(np.array(self.ability) / spread)
        return float(own - other)


@dataclass(frozen=True)
class Coverage:
    """Shares of intervals that hold the truth, and mean widths, each (over seeds, over seeds and images)."""

    held: tuple[float, float]
    width: tuple[float, float]


def draw(pair: Pair, random: np.random.Generator) -> list[np.ndarray]:
    """Differences [S, I] of each dataset."""
    return [_dataset(pair, images, random) for images in pair.images]


def _dataset(pair: Pair, images: int, random: np.random.Generator) -> np.ndarray:
    difficulty = pair.difficulty * random.standard_normal(images)
    right = []
    for ability in pair.ability:
        own = ability + difficulty + pair.taste * random.standard_normal(images)
        luck = pair.luck * random.standard_normal((pair.seeds, 1))
        right.append(own + luck + random.standard_normal((pair.seeds, images)) > 0)
    return right[0].astype(float) - right[1]


def simulate(pair: Pair, times: int, seed: int = 0) -> Iterator[Crossed]:
    random = np.random.default_rng(seed)
    return (crossed(draw(pair, random)) for _ in range(times))


def coverage(pair: Pair, times: int, seed: int = 0) -> Coverage:
    found, truth = list(simulate(pair, times, seed)), pair.truth
    both = [(one.over_seeds, one.over_both) for one in found]

    def share(which: int) -> float:
        return float(np.mean([one[which][0] <= truth <= one[which][1] for one in both]))

    def width(which: int) -> float:
        return float(np.mean([one[which][1] - one[which][0] for one in both]))

    return Coverage((share(0), share(1)), (width(0), width(1)))

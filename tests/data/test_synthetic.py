"""The world is a pure function of integers, renders at any size, and its classes can be learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.core.spec import DatasetSpec
from bench.data.digits import CLASS_COUNTS, pool_counts, read
from bench.data.images import ImageSet
from bench.data.registry import find
from bench.data.render import make
from bench.data.synthetic.recipe import ALIENS, Recipe

NAMES = ["synthetic/source", "synthetic/similar", "synthetic/fine", "synthetic/glyph", "synthetic/blend"]


def recipe(name: str, **options: object) -> Recipe:
    family, request = find(DatasetSpec(name, options), Path("."))
    return family.recipe(request)


def class_means(images: ImageSet, classes: int) -> Tensor:
    """[K, D]: the mean image of each class."""
    return torch.stack([images.x[images.y == k].float().mean(dim=0).flatten() for k in range(classes)])


@pytest.mark.parametrize("name", NAMES)
def test_two_renderings_are_equal_and_balanced(name: str) -> None:
    a, b = (make(recipe(name), "pool", 8, 32) for _ in range(2))
    assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
    assert set(a.class_counts(recipe(name).num_classes).tolist()) == {8}


@pytest.mark.parametrize("alien", ALIENS)
@pytest.mark.parametrize("similarity", [0.0, 0.3, 1.0])
def test_every_mixture_uses_the_range_of_grey_levels(similarity: float, alien: str) -> None:
    x = make(recipe("synthetic/blend", similarity=similarity, alien=alien), "pool", 10, 32).x.float()
    assert 30 < x.mean() < 130 and x.std() > 25


def test_splits_draws_and_worlds_differ() -> None:
    base = recipe("synthetic/fine")
    images = [
        make(base, "pool", 5, 32),
        make(base, "test", 5, 32),
        make(replace(base, draw=1), "pool", 5, 32),
        make(recipe("synthetic/similar"), "pool", 5, 32),
        make(recipe("synthetic/glyph"), "pool", 5, 32),
    ]
    seen = {image.numpy().tobytes() for part in images for image in part.x}
    assert len(seen) == 5 * 50


@pytest.mark.parametrize("name", ["synthetic/similar", "synthetic/glyph", "synthetic/blend"])
def test_another_size_shows_the_same_scene(name: str) -> None:
    small, large = make(recipe(name), "pool", 3, 32), make(recipe(name), "pool", 3, 96)
    assert torch.equal(small.y, large.y)
    shrunk = torch.nn.functional.avg_pool2d(large.x.float(), 3)
    pairs = torch.stack([small.x.float().flatten(1), shrunk.flatten(1)], dim=1)
    assert min(float(torch.corrcoef(pair)[0, 1]) for pair in pairs) > 0.4


def test_painting_in_slices_changes_nothing_but_grain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.render.NOISE", 0.0)
    whole = make(recipe("synthetic/similar"), "pool", 4, 32).x
    monkeypatch.setattr("bench.data.render.PAINT_PIXELS", 7 * 32 * 32)
    assert (whole.int() - make(recipe("synthetic/similar"), "pool", 4, 32).x.int()).abs().max() <= 1


def test_blend_is_similar_to_the_source_to_the_degree_it_says() -> None:
    ends = [make(recipe("synthetic/blend", similarity=s), "pool", 20, 32).x.float() for s in (0.0, 1.0)]
    colour = [float(x.std(dim=1).mean()) for x in ends]  # aliens are grey
    half = make(recipe("synthetic/blend", similarity=0.5), "pool", 20, 32).x.float()
    share = (float(half.std(dim=1).mean()) - colour[0]) / (colour[1] - colour[0])
    assert 0.35 < share < 0.6


def test_spread_pulls_prototypes_together() -> None:
    distances = []
    for spread in (1.0, 0.5):
        images = make(replace(recipe("synthetic/similar"), spread=spread), "pool", 40, 32)
        means = class_means(images, 10)
        distances.append(float(torch.pdist(means).mean()))
    assert distances[1] < distances[0]


@pytest.mark.parametrize("name", ["synthetic/fine", "synthetic/glyph"])
def test_classes_can_be_learnt(name: str) -> None:
    """Mean autocorrelations around the pixels tell classes apart, well above chance (10 %)."""
    pool, test = make(recipe(name), "pool", 60, 32), make(recipe(name), "test", 30, 32)
    features, asked = texture(pool.x), texture(test.x)
    scale, shift = features.std(dim=0), features.mean(dim=0)
    features, asked = (features - shift) / scale, (asked - shift) / scale
    nearest = torch.stack([features[pool.y == k].mean(dim=0) for k in range(10)])
    accuracy = (torch.cdist(asked, nearest).argmin(dim=1) == test.y).float().mean()
    assert accuracy > 0.2


def texture(x: Tensor) -> Tensor:
    """[N, D]: autocorrelation of each grey image at small shifts, and a coarse picture."""
    grey = x.float().mean(dim=1)
    grey = (grey - grey.mean(dim=(1, 2), keepdim=True)) / grey.std(dim=(1, 2), keepdim=True)
    power = torch.fft.fft2(grey).abs().square()
    correlation = torch.fft.ifft2(power).real[:, :8, :8] / 32**2
    coarse = torch.nn.functional.avg_pool2d(grey[:, None], 8)
    return torch.cat([correlation.flatten(1), coarse.flatten(1)], dim=1)


def test_digits_are_the_fixed_stratified_split() -> None:
    pool, test = read(16)
    assert pool.images.shape == (1000, 3, 16, 16) and test.images.shape == (797, 3, 16, 16)
    counts = [pool.labels.count(k) for k in range(10)]
    assert counts == pool_counts()
    assert [a + test.labels.count(k) for k, a in enumerate(counts)] == list(CLASS_COUNTS)
    assert not set(pool.names) & set(test.names)
    assert (read(16)[0].images == pool.images).all()

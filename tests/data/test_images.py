"""A set of images is its own tensor, or rows of one that it shares."""

from __future__ import annotations

import pytest
import torch

from bench.data import images
from bench.data.images import ImageSet


@pytest.fixture(params=["copied", "shared"])
def chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[ImageSet, torch.Tensor]:
    """A subset of a subset, copied or referred to, and the images that it must hold."""
    if request.param == "shared":
        monkeypatch.setattr(images, "COPIED_UP_TO", 0)
    x = torch.randint(256, (10, 3, 6, 6), dtype=torch.uint8)
    subset = ImageSet(x, torch.arange(10)).subset(torch.tensor([9, 1, 4, 7])).subset(torch.tensor([2, 0]))
    assert (subset.stored is x) == (request.param == "shared")
    return subset, x[[4, 9]]


def test_subsets_hold_their_images(chosen: tuple[ImageSet, torch.Tensor]) -> None:
    subset, expected = chosen
    assert torch.equal(subset.x, expected) and subset.y.tolist() == [4, 9] and subset.side == 6
    assert torch.equal(subset.at(slice(1, 2)), expected[1:]) and torch.equal(
        subset.at(torch.tensor([1, 0])), expected.flip(0)
    )
    assert torch.equal(subset.centre(4).x, expected[..., 1:5, 1:5])


def test_sets_are_joined(chosen: tuple[ImageSet, torch.Tensor]) -> None:
    subset, expected = chosen
    both = subset.with_more(subset.subset(torch.tensor([1])))
    assert torch.equal(both.x, expected[[0, 1, 1]]) and both.y.tolist() == [4, 9, 9]


def test_a_large_subset_copies_nothing() -> None:
    x = torch.zeros(200, 3, 200, 200, dtype=torch.uint8)
    large = ImageSet(x, torch.zeros(200, dtype=torch.int64)).subset(torch.arange(150))
    assert large.stored.data_ptr() == x.data_ptr()
    small = large.subset(torch.arange(20))
    assert small.rows is None and len(small.stored) == 20

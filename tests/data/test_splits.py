"""Subsets are balanced, disjoint, nested in n, and fixed by the seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.data.splits import k_shot, permutation, validation_positions

LABELS = torch.arange(300) % 3


def as_set(indices: torch.Tensor) -> set[int]:
    return set(indices.tolist())


@settings(max_examples=40, deadline=None)
@given(
    small=st.integers(1, 100),
    large=st.integers(1, 100),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 2**40),
)
def test_small_subsets_are_within_large_ones(small: int, large: int, share: float, seed: int) -> None:
    small, large = sorted((small, large))
    a, b = (k_shot(LABELS, n, share, seed) for n in (small, large))
    assert as_set(a.train) <= as_set(b.train)
    assert as_set(a.val) <= as_set(b.val)
    assert not as_set(b.train) & as_set(b.val)
    for part in (a.train, a.val):
        assert len(set(torch.bincount(LABELS[part], minlength=3).tolist())) == 1
    assert len(a.train) + len(a.val) == 3 * small


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 500), percent=st.integers(0, 99))
def test_validation_gets_its_share_to_the_image(n: int, percent: int) -> None:
    assert validation_positions(n, percent / 100).sum() == n * percent // 100


def test_a_seed_fixes_the_subset_and_another_changes_it() -> None:
    a, b, c = (k_shot(LABELS, 10, 0.2, seed) for seed in (5, 5, 6))
    assert torch.equal(a.train, b.train) and torch.equal(a.val, b.val)
    assert not torch.equal(a.train, c.train)


def test_the_permutation_is_the_same_on_every_version_of_numpy() -> None:
    assert permutation(8, 3, 7).tolist() == [5, 3, 2, 1, 0, 6, 7, 4]


def test_all_takes_every_image_of_unequal_classes() -> None:
    labels = torch.tensor([0] * 10 + [1] * 5)
    split = k_shot(labels, "all", 0.2, seed=0)
    assert as_set(torch.cat([split.train, split.val])) == set(range(15))
    assert torch.bincount(labels[split.val]).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("n", "share", "message"),
    [
        (101, 0.2, "class 'ant' has only 100"),
        (0, 0.2, "from 1"),
        ("al", 0.2, "'al'"),
        (5, 1.0, "share from 0 to below 1"),
    ],
)
def test_impossible_requests_are_refused(n, share: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        k_shot(LABELS, n, share, 0, classes=["ant", "bee", "cow"])


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(UserError, match="class 'cow' has only 0"):
        k_shot(torch.tensor([0, 1]), "all", 0.0, 0, classes=["ant", "bee", "cow"])

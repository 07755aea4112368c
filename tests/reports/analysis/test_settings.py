"""The hyperparameters that won nearby: their mean, their spread, and whose they are."""

from __future__ import annotations

import pytest

from reports.analysis.settings import Used, settings


def used(dataset: str, lr: float, searched: bool = True, **more: object) -> Used:
    return Used(dataset, {"full.lr": lr} | more, frozenset({"full.lr"} if searched else ()))


def test_a_rate_is_the_weighted_geometric_mean_with_its_spread() -> None:
    (lr,) = settings([(0.75, used("a", 0.001)), (0.25, used("b", 0.1))])
    assert (lr.name, lr.searched, lr.datasets) == ("full.lr", True, 2)
    assert lr.value == pytest.approx(0.0032) and (lr.low, lr.high) == (0.001, 0.1)


def test_sizes_of_one_dataset_are_one_dataset() -> None:
    (lr,) = settings([(0.5, used("a", 0.001)), (0.5, used("a", 0.01))])
    assert lr.datasets == 1 and lr.value == pytest.approx(0.0032)


@pytest.mark.parametrize(
    ("values", "expected", "spread"),
    [
        ([3, 5, 5], 5, (3, 5)),  # whole numbers: no 4.3 stages
        (["cosine", "constant", "constant"], "constant", (None, None)),
        ([True, True, False], True, (None, None)),
        ([0.0, 0.1, 0.1], 0.1, (0.0, 0.1)),  # no logarithm of zero
        ([0.003, 0.003, 0.003], 0.003, (0.003, 0.003)),
    ],
)
def test_what_has_no_mean_is_what_weighs_most(values: list[object], expected: object, spread: object) -> None:
    near = [(1 / 3, Used(name, {"part.x": value})) for name, value in zip("abc", values, strict=True)]
    (one,) = settings(near)
    assert one.value == expected and (one.low, one.high) == spread and not one.searched


def test_what_was_searched_comes_first_and_weights_may_vanish() -> None:
    near = [(0.0, used("a", 0.001, k=3)), (0.0, used("b", 0.1, k=3))]
    assert [one.name for one in settings(near)] == ["full.lr", "k"]
    assert settings(near)[0].value == pytest.approx(0.01)
    assert settings([]) == []

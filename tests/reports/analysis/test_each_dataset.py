from __future__ import annotations

import random
from statistics import pstdev

import pytest

from reports.analysis.each_dataset import apart
from reports.analysis.verdict import Verdict, judge_cell
from tests.reports.analysis.test_ties import MARGIN, rows


def cell_of(gains: dict[str, float], seeds: int = 5, sd: float = 0.005) -> list[dict]:
    """An alternative's gain over the rule's pick, by dataset."""
    draw = random.Random(0)
    return [
        row | {"dataset": dataset}
        for dataset, gain in gains.items()
        for row in rows(
            {
                name: [0.5 + effect + draw.gauss(0, sd) for _ in range(seeds)]
                for name, effect in (("rule", 0.0), ("other", gain))
            }
        )
    ]


def test_datasets_that_disagree_are_told_apart_though_their_average_says_little() -> None:
    """Always better on signs, never on rays: the cell's average is +15, which is true of neither."""
    found = cell_of({"signs": 0.3, "rays": -0.05})
    judged = judge_cell("similar-small", found, "rule", MARGIN)
    one = apart(found, judged, MARGIN)
    assert one is not None and one.spread is not None
    assert {name: cell.verdict for name, cell in one.cells.items()} == {
        "signs": Verdict.CONTRADICTED,
        "rays": Verdict.SUPPORTED,
    }
    assert one.spread.p < 0.001 and one.spread.sd == pytest.approx(0.35 / 2**0.5, rel=0.05)
    assert judged.verdict == Verdict.CONTRADICTED and judged.comparisons[0].n == 5, (
        "seeds, not pairs with datasets"
    )


def test_the_difference_between_datasets_is_no_noise_of_the_cell() -> None:
    """An advantage that every seed shows, on the average over these datasets, however far apart they are."""
    found = cell_of({"a": 0.4, "b": 0.0, "c": -0.2}, sd=0.004)
    judged = judge_cell("similar-small", found, "rule", MARGIN)
    assert judged.verdict == Verdict.CONTRADICTED and judged.regret_low > 0.05


def test_where_datasets_agree_the_spread_is_none() -> None:
    found = cell_of(dict.fromkeys("abcd", 0.1), seeds=12)
    one = apart(found, judge_cell("similar-small", found, "rule", MARGIN), MARGIN)
    assert one is not None and one.spread is not None and one.spread.p > 0.05
    assert one.spread.sd < 2 * pstdev([0.1 + 0.002 * i for i in (-1, 1)])


def test_one_dataset_is_the_cell_itself() -> None:
    found = cell_of({"a": 0.1})
    assert apart(found, judge_cell("similar-small", found, "rule", MARGIN), MARGIN) is None

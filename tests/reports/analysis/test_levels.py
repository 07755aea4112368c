from __future__ import annotations

import pytest

from reports.analysis.levels import error_rate, left, levels
from reports.analysis.stats import ALPHA

LOOKS = [3, 5, 8, 12, 20]


def test_levels_add_up_and_grow_with_the_square_of_seeds() -> None:
    found = levels(LOOKS)
    assert sum(found) == pytest.approx(ALPHA)
    # by hand: .025 (3 / 20)^2, then .025 (25 - 9) / 400, ...
    assert found == pytest.approx([0.0005625, 0.001, 0.0024375, 0.005, 0.016])
    assert levels([5]) == [ALPHA]


def test_what_is_left_is_spread_as_planned_from_any_look_on() -> None:
    planned, spent = levels(LOOKS), 0.0
    for i, level in enumerate(planned):
        assert levels(LOOKS[i:], ([0, *LOOKS])[i], left(spent)) == pytest.approx(planned[i:])
        assert error_rate(spent + level) == pytest.approx(ALPHA)
        spent += level
    assert left(spent) == pytest.approx(ALPHA), "an extension beyond the planned end"
    assert error_rate(spent + 0.001) == pytest.approx(2 * ALPHA)


@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_whole_multiples_are_no_more_than_they_are(times: int) -> None:
    assert error_rate(sum([ALPHA] * times)) == pytest.approx(times * ALPHA)

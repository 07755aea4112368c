from __future__ import annotations

import pytest

from bench.core.records.looks import LookRecord
from reports.analysis.levels import error_rate, left, level
from reports.analysis.stats import ALPHA

LOOKS = (3, 5, 8, 12, 20)


def taken(*looks: int, last: int = 20, planned: int = 0) -> list[LookRecord]:
    """Looks after so many seeds, one after the other."""
    found: list[LookRecord] = []
    for n in looks:
        at = level(n, last, found, planned)
        when = f"{len(found):02d}"
        found.append(
            LookRecord("cell", "rule", 0.01, "", "", tuple(range(n)), last, at, "undecided", (), when)
        )
    return found


def levels(records: list[LookRecord]) -> list[float]:
    return [record.level for record in records]


def test_levels_add_up_and_grow_with_the_square_of_seeds() -> None:
    found = levels(taken(*LOOKS))
    assert sum(found) == pytest.approx(ALPHA)
    # by hand: .025 (3 / 20)^2, then .025 (25 - 9) / 400, ...
    assert found == pytest.approx([0.0005625, 0.001, 0.0024375, 0.005, 0.016])
    assert level(5, 5, []) == ALPHA


def test_a_study_that_is_cut_short_gets_no_level_of_the_looks_left_out() -> None:
    """Or who sees that a look is nearly enough would make the next one the last."""
    before = taken(3, 5)
    assert level(8, 8, before) == pytest.approx(0.0024375)
    assert level(5, 5, [], planned=20) == pytest.approx(ALPHA / 16), (
        "also of a fixed study whose estimates were seen"
    )


def test_raised_under_way_the_rest_is_spread_over_more() -> None:
    before = taken(3, 5)
    rest = [level(8, 40, before)]
    assert rest[0] < 0.0024375 and sum(levels(before)) + rest[0] == pytest.approx(ALPHA * 64 / 1600)


def test_a_look_at_seeds_whose_share_is_used_up_has_no_level() -> None:
    assert level(4, 40, taken(3, 5)) <= 0


def test_once_all_is_used_up_a_second_round_begins() -> None:
    before = taken(*LOOKS)
    assert left(before) == pytest.approx(ALPHA)
    again = level(32, 40, before)
    assert again == pytest.approx(ALPHA * (32**2 - 20**2) / (40**2 - 20**2))
    assert level(5, 5, taken(5, last=5)) == pytest.approx(ALPHA), "another question at the same seeds"
    assert level(3, 3, taken(5, last=5)) == pytest.approx(ALPHA), "or at fewer"


def test_error_rates_are_multiples() -> None:
    assert [round(error_rate(spent) / ALPHA) for spent in (0, 0.001, ALPHA, 0.0251, 2 * ALPHA, 0.0501)] == [
        1, 1, 1, 2, 2, 3,
    ]  # fmt: skip
    assert error_rate(sum([ALPHA] * 7)) == pytest.approx(7 * ALPHA)

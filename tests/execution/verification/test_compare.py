"""The tests of `bench verify` on made-up results: false alarms as often as said, changes found, nothing in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.core.metrics import Metric
from bench.execution.verification.compare import LEVEL, compare, p_value
from bench.execution.verification.reference import Distribution, Key, Reference, digest

KEYS: list[Key] = [
    ("net", f"s{i}", metric) for i in range(10) for metric in (Metric.TEST_ACCURACY, Metric.TEST_NLL)
]


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0) -> dict[Key, list[float]]:
    return {key: list(rng.normal(0.6 + (shift if key == KEYS[0] else 0), 0.02, n)) for key in KEYS}


def reference(rng: np.random.Generator) -> Reference:
    return Reference(digest(), {}, {key: Distribution.of(own) for key, own in drawn(rng, 20).items()})


def test_false_alarms_are_as_rare_as_said() -> None:
    rng = np.random.default_rng(0)
    alarms = [any(not line.belongs for line in compare(reference(rng), drawn(rng, 5))) for _ in range(400)]
    assert np.mean(alarms) < LEVEL + 3 * (LEVEL * (1 - LEVEL) / 400) ** 0.5


@pytest.mark.parametrize("shift", [-0.08, 0.08])
def test_what_is_worse_or_too_good_does_not_belong(shift: float) -> None:
    rng = np.random.default_rng(1)
    lines = compare(reference(rng), drawn(rng, 5, shift))
    assert [line.key for line in lines if not line.belongs] == [KEYS[0]]


def test_the_test_is_students() -> None:
    from scipy import stats

    rng = np.random.default_rng(2)
    a, b = rng.normal(0.5, 0.05, 20), rng.normal(0.55, 0.05, 5)
    expected = stats.ttest_ind(a, b).pvalue
    assert p_value(Distribution.of(list(a)), Distribution.of(list(b)), Metric.TEST_ACCURACY) == pytest.approx(
        expected
    )


def test_what_has_no_result_does_not_belong() -> None:
    rng = np.random.default_rng(3)
    found = drawn(rng, 5)
    del found[KEYS[2]]
    lines = compare(reference(rng), found)
    assert [(line.key, line.here) for line in lines if not line.belongs] == [(KEYS[2], None)]


def test_seeds_that_all_agree_are_no_spread_of_zero() -> None:
    same = Distribution(0.95, 0.0, 20)
    assert p_value(same, Distribution(0.95, 0.0, 5), Metric.TEST_ACCURACY) == 1
    assert p_value(same, Distribution(0.9504, 0.0, 5), Metric.TEST_ACCURACY) > LEVEL
    assert p_value(same, Distribution(0.90, 0.0, 5), Metric.TEST_ACCURACY) < 1e-6


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = reference(np.random.default_rng(4))
    made.save(tmp_path / "r.json")
    assert Reference.read(tmp_path / "r.json") == made


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"study": "x", "versions": {}, "values": {"a": {"b": {"c": 1}}}}']
)
def test_what_is_no_reference_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match="no reference of `bench verify`"):
        Reference.read(tmp_path / "r.json")


def test_a_reference_of_another_study_is_refused(tmp_path: Path) -> None:
    Reference("0" * 16, {}, {}).save(tmp_path / "r.json")
    with pytest.raises(UserError, match="is of another study than"):
        Reference.read(tmp_path / "r.json")

"""How much a learning rate may be off: from trials whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from bench.core.records.runs import RunRecord
from bench.core.schema import Metric, Purpose, Tag
from reports.analysis.forgiving import Tried, forgiving, tried


def trial(
    search: str, number: int, value: float | None, status: str = "finished", **rates: float
) -> RunRecord:
    tags = {
        Tag.PURPOSE: Purpose.TRIAL,
        Tag.PARENT: search,
        Tag.TRIAL: str(number),
        Tag.STATUS: status,
        Tag.STRATEGY: "lp_ft",
    }
    params = {f"hyperparameter.lp_ft.{name}": str(rate) for name, rate in rates.items()} | {
        "train.epochs": "3"
    }
    metrics = {} if value is None else {Metric.VAL_ACCURACY: value}
    return RunRecord(f"{search}-{number}", "", "FINISHED", 0, 0, "", tags, params, metrics)


def test_only_trials_that_move_all_rates_together_count() -> None:
    runs = [
        trial("a", 0, 0.8, lr=0.01, probe_lr=0.1, k=2),
        trial("a", 1, 0.7, lr=0.0316, probe_lr=0.316, k=2),
        trial("a", 2, 0.9, lr=0.01, probe_lr=0.316, k=2),  # one rate alone
        trial("a", 3, 0.9, lr=0.001, probe_lr=0.01, k=3),  # something else too
        trial("a", 4, None, "diverged", lr=0.1, probe_lr=1.0, k=2),
        trial("a", 5, None, "failed", lr=0.001, probe_lr=0.01, k=2),
        trial("b", 1, 0.9, lr=0.1, probe_lr=1.0, k=2),  # of a search whose trial 0 is not known
    ]
    found = [(one.search, round(one.factor, 2), one.accuracy) for one in tried(runs)]
    assert found == [("a", 0.0, 0.8), ("a", 0.5, 0.7), ("a", 1.0, 0.0)]


def planted(strategy: str, loss: dict[float, float], searches: int = 40, noise: float = 0.02) -> list[Tried]:
    """Searches of very different levels, half of which lack the highest factor, the harder half."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(searches):
        level = 0.9 if i % 2 else 0.3
        for factor, behind in loss.items():
            if i % 2 or factor < max(loss):
                accuracy = level - behind + rng.normal(0, noise)
                found.append(Tried(f"{strategy}{i}", strategy, factor, accuracy))
    return found


def test_planted_curves_come_back_whatever_the_levels_of_the_searches() -> None:
    gentle = planted("gentle", {-1.0: 0.008, -0.5: 0.0, 0.0: 0.0, 0.5: 0.005, 1.0: 0.008}, noise=1e-4)
    steep = planted("steep", {-1.0: 0.1, -0.5: 0.02, 0.0: 0.0, 0.5: 0.04, 1.0: 0.5}, noise=1e-4)
    first, second = forgiving([*steep, *gentle])
    assert (first.strategy, second.strategy) == ("gentle", "steep")
    assert first.width == pytest.approx(2.0) and first.open_low and first.open_high
    assert not second.open_low and not second.open_high
    assert second.low == pytest.approx(-0.25, abs=0.01) and second.high == pytest.approx(0.125, abs=0.01)
    assert second.behind[1.0] == pytest.approx(0.5, abs=1e-3)


def test_noise_of_single_trials_averages_out() -> None:
    (found,) = forgiving(planted("s", {-0.5: 0.05, 0.0: 0.0, 0.5: 0.1}, searches=400, noise=0.07))
    assert found.behind[-0.5] == pytest.approx(0.05, abs=0.015)
    assert found.behind[0.5] == pytest.approx(0.1, abs=0.02)


def test_two_searches_tell_nothing() -> None:
    assert forgiving(planted("s", {-0.5: 0.05, 0.0: 0.0}, searches=2)) == []

"""The driver's scheduling on a simulated cluster of 64 GPUs. The whole table: `python -m tests.simulation.cluster`."""

from __future__ import annotations

import pytest

from tests.simulation.cluster import Machines, simulate


@pytest.mark.parametrize("lost_every", [0.0, 6.0, 2.0])
def test_every_run_exactly_once_however_often_machines_are_lost(lost_every: float) -> None:
    trial = simulate(1000, Machines(lost_every=lost_every), seed=1)
    assert (trial.runs, trial.missing, trial.doubled) == (1000, 0, 0)
    assert (trial.losses > 0) == (lost_every > 0)
    assert 1.0 <= trial.ratio < 1.6


def test_an_undisturbed_study_keeps_the_gpus_busy_to_the_last_long_run() -> None:
    trial = simulate(1000, Machines(), seed=2)
    longest = 60  # minutes: six times the mean
    assert trial.hours < trial.ideal_hours + longest / 60


def test_longest_first_shortens_a_study_of_one_seed() -> None:
    ordered, planned = (simulate(100, Machines(nodes=1), seed=0, ordered=o) for o in (True, False))
    assert ordered.hours <= planned.hours

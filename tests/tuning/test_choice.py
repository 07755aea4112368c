"""Which trial is chosen: smoothed, and the defaults unless there is a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.planning.search_space import Searched
from bench.tuning import choice
from bench.tuning.choice import Candidate, highest, smooth, smoothed

RATE = Searched("full.lr", 0.01, 1e-5, 10.0, True)
STEPS = (0, -1, 1, -2, 2)


def trials(accuracies: dict[float, float], images: int = 100) -> list[Candidate]:
    """Steps of half a decade from the default -> accuracy."""
    return [
        Candidate(i, {"full.lr": 0.01 * 10 ** (step / 2) if step else 0.01}, accuracy, 1.0, images)
        for i, (step, accuracy) in enumerate(accuracies.items())
    ]


def test_a_lucky_trial_among_worse_neighbours_is_not_chosen() -> None:
    found = trials({0: 0.72, -1: 0.62, 1: 0.68, -2: 0.73, 2: 0.62}, images=60)
    assert highest(found).candidate.number == 3
    assert smoothed([RATE], found).candidate.number == 0


def test_what_its_neighbours_confirm_is_chosen() -> None:
    found = trials({0: 0.60, -1: 0.50, 1: 0.72, -2: 0.45, 2: 0.74}, images=60)
    choice = smoothed([RATE], found)
    assert (
        choice.candidate.number in (2, 4)
        and choice.smoothed > choice.smoothed_default + choice.standard_error
    )


@pytest.mark.parametrize(("images", "chosen"), [(20, 0), (2000, 2)])
def test_the_same_difference_decides_on_many_images_and_not_on_few(images: int, chosen: int) -> None:
    found = trials({0: 0.70, -1: 0.66, 1: 0.73}, images)
    assert smoothed([RATE], found).candidate.number == chosen


def test_what_is_wrong_with_great_confidence_is_not_chosen() -> None:
    found = trials({0: 0.60, -1: 0.50, 1: 0.75, -2: 0.45, 2: 0.80})
    assert smoothed([RATE], found).candidate.number == 4
    found[4] = replace(found[4], nll=2.5)  # of the defaults 1
    assert smoothed([RATE], found).candidate.number == 2


def test_a_choice_of_the_defaults_has_the_standard_error_of_the_best_other() -> None:
    made = smoothed([RATE], trials({0: 0.8, -1: 0.7, 1: 0.75}))
    assert made.candidate.number == 0 and made.smoothed == made.smoothed_default
    assert 0 < made.standard_error < 0.1


def test_where_the_defaults_diverged_the_best_smoothed_is_chosen() -> None:
    found = trials({0: 0.0, -1: 0.5, -2: 0.6})[1:]
    made = smoothed([RATE], found)
    assert made.candidate.number == 2 and made.smoothed_default is None and made.standard_error is None


def test_on_many_images_the_smoothed_accuracy_is_nearly_the_measured_one() -> None:
    found = trials({0: 0.5, -1: 0.52, 1: 0.45}, images=10**7)
    assert smooth([RATE], found)[0] == pytest.approx([0.5, 0.52, 0.45], abs=1e-4)


def test_the_standard_error_is_that_of_simulated_differences() -> None:
    """Accuracies drawn from the model itself: the posterior's spread is the error that is made."""
    space, rng = [RATE], np.random.default_rng(0)
    steps = trials(dict.fromkeys(STEPS, 0.5), images=50)
    x = np.array(STEPS, float)
    prior = choice.SPREAD**2 * np.exp(-((x[:, None] - x) ** 2) / (2 * choice.LENGTH**2))
    errors, told = [], 0.0
    for _ in range(2000):
        truth = 0.5 + rng.multivariate_normal(np.zeros(5), prior)
        seen = truth + rng.normal(0, np.sqrt(choice.PAIRED * 0.25 / 50), 5)
        found = [Candidate(c.number, c.params, y, 1.0, 50) for c, y in zip(steps, seen, strict=True)]
        mean, covariance = smooth(space, found)
        errors.append((mean[4] - mean[0]) - (truth[4] - truth[0]))
        told += covariance[4, 4] + covariance[0, 0] - 2 * covariance[4, 0]
    assert np.mean(errors) == pytest.approx(0, abs=0.004)
    assert np.var(errors) == pytest.approx(told / 2000, rel=0.1)


def test_all_right_or_all_wrong_is_no_division_by_zero() -> None:
    for accuracy in (0.0, 1.0):
        assert smoothed([RATE], trials({0: accuracy, -1: accuracy, 1: accuracy})).candidate.number == 0

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from bench.core.records.predictions import Predictions
from bench.training.evaluate import score
from reports.analysis.calibration import _log_odds, _platt, ece, recalibrated


def overconfident(images: int, times: float, seed: int = 0) -> tuple[Predictions, torch.Tensor, torch.Tensor]:
    """Labels drawn from a network's probabilities, which then claims logits that are `times` as large."""
    draw = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(images, 5, generator=draw)
    y = torch.multinomial(logits.softmax(dim=1), 1, generator=draw)[:, 0]
    claimed = times * logits
    logs = claimed.log_softmax(dim=1)
    predicted = logs.argmax(dim=1)
    own, of_label = (logs.gather(1, k[:, None])[:, 0].numpy() for k in (predicted, y))
    return Predictions.of("x", 5, y.numpy(), predicted.numpy(), own, of_label), claimed, y


def test_it_is_the_number_that_a_run_logs() -> None:
    found, logits, y = overconfident(500, 2.0)
    assert ece(found.probability, found.right) == pytest.approx(score(logits, y).ece, abs=2e-3)


def test_recalibration_brings_confidence_near_accuracy() -> None:
    found, *_ = overconfident(4000, 3.0)
    before, after = ece(found.probability, found.right), ece(recalibrated(found), found.right)
    assert before > 0.15 and after < 0.03


@pytest.mark.parametrize("times", [0.3, 1.0, 3.0, 10.0])
def test_the_map_is_that_of_a_general_optimiser(times: float) -> None:
    found, *_ = overconfident(300, times)
    x, right = _log_odds(found), found.right.astype(float)
    sign = 2 * right - 1

    def loss(theta: np.ndarray) -> float:
        margins = sign * (theta[0] * x + theta[1])
        return float(np.logaddexp(0.0, -margins).sum() + np.square(theta - np.array([1.0, 0.0])).sum() / 2)

    best = minimize(loss, (1.0, 0.0)).fun
    assert loss(np.array(_platt(x, right))) == pytest.approx(best, abs=1e-4)


def test_what_is_calibrated_stays_so() -> None:
    found, *_ = overconfident(4000, 1.0)
    assert np.abs(recalibrated(found) - found.probability).max() < 0.1


@pytest.mark.parametrize("right", [0, 1])
def test_always_right_or_never_is_no_error(right: int) -> None:
    label = np.full(20, 1 - right)
    logs = np.full(20, -1e-4)
    found = recalibrated(Predictions.of("x", 2, label, np.zeros(20, int), logs, logs))
    assert np.isfinite(found).all() and (found > 0.5).all() == bool(right)


def test_no_image_judges_a_map_that_it_has_made() -> None:
    """Another outcome of an image leaves its own confidence as it was."""
    found, *_ = overconfident(200, 3.0)
    label, own = found.label.copy(), found.predicted[7]
    label[7] = (own + 1) % 5 if found.right[7] else own
    changed = Predictions("x", label, found.predicted, found.log_probability, found.label_log_probability)
    before, after = recalibrated(found), recalibrated(changed)
    assert found.right[7] != changed.right[7]
    assert np.array_equal(before[1::2], after[1::2]) and not np.array_equal(before[::2], after[::2])

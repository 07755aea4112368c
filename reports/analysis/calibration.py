"""How far a network's confidence is from its accuracy, as it is, and recalibrated afterwards.

What is kept of a run is the probability of its predicted class. A temperature would need those of all classes; two numbers,
slope and offset of the log-odds of that probability (Platt, 1999), need no more than this. They are fitted on every second
test image and judged on the others, in turn, so no image judges a map that it has made.
"""

from __future__ import annotations

import numpy as np

from bench.core.records.predictions import Predictions

BINS = 15
"""As in `bench.training.evaluate.score`."""

SMALLEST = 1e-7
"""What is left to 1 of a probability, at least, so that its log-odds are finite."""


def ece(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error (Guo et al., 2017), a fraction. confidence: [N] in [0, 1]. right: [N] bool."""
    bins = np.clip(np.ceil(confidence * BINS), 1, BINS).astype(int) - 1
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def recalibrated(predictions: Predictions) -> np.ndarray:
    """[N] confidences of the same predictions, each image's by a map that the other half of the images has made."""
    x, right = _log_odds(predictions), predictions.right.astype(float)
    found = np.empty(len(x))
    for own in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - (own.start or 0), None, 2)
        slope, offset = _platt(x[other], right[other])
        found[own] = _sigmoid(slope * x[own] + offset)
    return found


def _log_odds(predictions: Predictions) -> np.ndarray:
    logs = predictions.log_probability.astype(np.float64)
    odds: np.ndarray = logs - np.log(np.maximum(-np.expm1(logs), SMALLEST))
    return odds


def _platt(x: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the highest likelihood, drawn towards 1 and 0 by as much as one image could tell."""
    from scipy.optimize import (
        minimize,
    )  # a third of a second, which a report without predictions need not wait

    sign = 2 * right - 1

    def loss(theta: np.ndarray) -> float:
        margins = sign * (theta[0] * x + theta[1])
        return float(np.logaddexp(0.0, -margins).sum() + ((theta - (1.0, 0.0)) ** 2).sum() / 2)

    slope, offset = minimize(loss, (1.0, 0.0), method="BFGS").x
    return float(slope), float(offset)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    p: np.ndarray = 0.5 * (1 + np.tanh(x / 2))
    return p

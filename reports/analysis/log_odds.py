"""The scale on which accuracies are added and averaged: log odds, which no sum can take out of [0, 1].

Of k right answers among n images the odds are (k + 1/2) : (n - k + 1/2), the empirical logit (Haldane 1955; Anscombe 1956):
finite where all or none are right, and as far out as n images can tell.
"""

from __future__ import annotations

from math import exp, log

IMAGES = 100
"""Images that an accuracy is taken to be of where nothing tells."""


def log_odds(accuracy: float, images: float | None = None) -> float:
    """accuracy: a fraction of `images` images."""
    n = images or IMAGES
    right = min(n, max(0.0, accuracy * n))  # no rounding may lead out of what can be counted
    return log((right + 0.5) / (n - right + 0.5))


def accuracy(odds: float) -> float:
    """The fraction in (0, 1) that has these log odds."""
    return 1 / (1 + exp(-odds)) if odds >= 0 else exp(odds) / (1 + exp(odds))

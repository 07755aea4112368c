"""LEEP: how well the source classifier's guesses foretell the target's labels (Nguyen et al. 2020, arXiv:2002.12462).

    P(y, z) = 1/N sum_{i: y_i = y} theta_z(x_i),   LEEP = 1/N sum_i ln sum_z P(y_i | z) theta_z(x_i)

theta(x): the source head's probabilities. Takes no features, and needs the head that the weights were trained with.
"""

from __future__ import annotations

import numpy as np


def leep(theta: np.ndarray, labels: np.ndarray) -> float:
    """theta [N, Z] with rows that sum to 1, labels [N] -> mean log likelihood in nats, at most 0; higher is better."""
    classes, y = np.unique(labels, return_inverse=True)
    joint = np.eye(len(classes))[y].T @ np.asarray(theta, dtype=np.float64) / len(y)  # [K, Z]
    given = joint / np.maximum(joint.sum(0), np.finfo(np.float64).tiny)  # P(y | z)
    return float(np.mean(np.log((given[y] * theta).sum(1))))

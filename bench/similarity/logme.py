"""LogME: the log evidence of a Bayesian linear model from features to labels, per image (You et al. 2021, arXiv:2102.11005).

For one class, y in {0, 1}^N:   w ~ N(0, I/alpha),   y ~ N(F w, I/beta),   score = max_(alpha, beta) ln p(y | F) / N,
averaged over the classes. With the singular values s of F, z = U^T y and t = alpha / beta,

    2 ln p = sum_i ln(t / (t + s_i^2)) + N ln beta - beta (t sum_i z_i^2 / (t + s_i^2) + |y|^2 - |z|^2) - N ln 2 pi

beta has a closed form for every t, so the maximum is over t alone: exact, where the paper's fixed point iterates.
Trap: the sum runs over the min(N, D) singular values. Well-known code takes D ln alpha against those alone, and for
N < D gives 37 where the value is -1.07.
"""

from __future__ import annotations

import numpy as np

DECADES = 12
"""t is searched within so many decades of s_max^2 on either side; beyond them the evidence is flat."""


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """features [N, D], labels [N] -> mean over classes of the maximal log evidence per image, in nats; higher is better."""
    f = np.asarray(features, dtype=np.float64)
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    return float(np.mean([_evidence(u, s, (labels == k).astype(np.float64)) for k in np.unique(labels)]))


def _evidence(u: np.ndarray, s: np.ndarray, y: np.ndarray) -> float:
    """max over t of ln p(y) / N: a grid finds the highest hill (there may be several), Brent's method its top."""
    from scipy.optimize import minimize_scalar

    n, s2, z2 = len(y), s**2, (u.T @ y) ** 2
    outside = max(0.0, float(y @ y - z2.sum()))  # what no linear function of the features reaches

    def negative(log_t: np.ndarray) -> np.ndarray:
        shrink = 1 / (1 + s2 / np.exp(log_t)[..., None])  # t / (t + s^2)
        residual = (z2 * shrink).sum(-1) + outside  # beta = N / residual
        evidence: np.ndarray = 0.5 * (
            np.log(shrink).sum(-1) / n + np.log(n / residual) - 1 - np.log(2 * np.pi)
        )
        return -evidence

    grid = np.log(s2.max()) + np.log(10) * np.linspace(-DECADES, DECADES, 12 * DECADES + 1)
    best = int(np.argmin(negative(grid)))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    top = minimize_scalar(lambda x: float(negative(np.asarray(x))), bounds=(low, high), method="bounded")
    return -min(float(top.fun), float(negative(grid[best])))

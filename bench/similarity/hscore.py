"""H-score: the share of the features' spread that tells classes apart (Bao et al. 2019, IEEE ICIP, arXiv:2212.10082).

    H = tr(C^-1 B),   C = cov f,  B = cov E[f | y]

shrunk by Ledoit & Wolf as Ibrahim et al. 2021 (arXiv:2110.06893) do: C -> (1 - a) C + a mu I and B -> (1 - a) B. With
fewer images than features the unshrunk value is K - 1 whatever the features.
"""

from __future__ import annotations

import numpy as np


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """features [N, D], labels [N] -> between 0 and K - 1; higher is better, within one number of classes."""
    from sklearn.covariance import ledoit_wolf

    f = np.asarray(features, dtype=np.float64)
    f = f - f.mean(0)
    covariance, shrinkage = ledoit_wolf(f, assume_centered=True)
    classes, y = np.unique(labels, return_inverse=True)
    share = np.bincount(y) / len(y)
    means = np.stack([f[y == k].mean(0) for k in range(len(classes))])  # [K, D]
    inside = np.linalg.pinv(covariance, hermitian=True) @ means.T  # channels that never move drop out
    return float((1 - shrinkage) * (share * (means * inside.T).sum(1)).sum())

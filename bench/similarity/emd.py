"""Domain similarity by the earth mover's distance between class means (Cui et al. 2018, arXiv:1806.06193).

    similarity = exp(-.01 EMD),   EMD: the cheapest way to turn the source's classes into the target's,

a class weighing its share of the images and lying at the mean of its features, at Euclidean cost. Solved exactly, as a
linear programme. The scale is that of the features: compare within one network, at one layer.
"""

from __future__ import annotations

import numpy as np

GAMMA = 0.01


def emd_similarity(
    source: np.ndarray, source_labels: np.ndarray, target: np.ndarray, target_labels: np.ndarray
) -> float:
    """features [N, D] and [M, D] with their labels -> in (0, 1], 1 where both have the same class means and shares."""
    return float(
        np.exp(-GAMMA * emd(*class_means(source, source_labels), *class_means(target, target_labels)))
    )


def emd(a: np.ndarray, a_weights: np.ndarray, b: np.ndarray, b_weights: np.ndarray) -> float:
    """Earth mover's distance between points [N, D] and [M, D] with weights [N] and [M], which need not sum to 1."""
    from scipy.stats import wasserstein_distance_nd

    return max(0.0, float(wasserstein_distance_nd(a, b, a_weights, b_weights)))


def class_means(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """features [N, D], labels [N] -> means [K, D] and image counts [K] of the classes that occur."""
    classes, counts = np.unique(labels, return_counts=True)
    return np.stack([features[labels == k].mean(0) for k in classes]), counts.astype(np.float64)

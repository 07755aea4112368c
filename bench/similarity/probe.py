"""How well frozen features already classify the labelled images: nearest neighbours, and a linear probe. Held out.

No image is classified by a rule that saw its label: neighbours leave the image itself out, the probe is cross-validated.
"""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 5
FOLDS = 5


def knn_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """features [N, D], labels [N] -> leave-one-out accuracy of 5 neighbours by cosine, nearer ones weighing more.

    With fewer than 6 images in the smallest class there are as many neighbours as it has other images. Raises
    ValueError where a class has one image only.
    """
    from sklearn.neighbors import KNeighborsClassifier

    k = min(NEIGHBOURS, _smallest(labels) - 1)
    model = KNeighborsClassifier(k, weights=_nearness, metric="cosine", algorithm="brute")
    return float(model.fit(features, labels).score(None, labels))  # None: each image by the others


def _nearness(distance: np.ndarray) -> np.ndarray:
    """Weights [N, k]; finite also for copies of an image, whose cosine distance is 0."""
    return 1 / (distance + 1e-6)


def probe_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """features [N, D], labels [N] -> accuracy of logistic regression on standardised features, 5-fold cross-validated.

    Each fold has its share of every class; the smallest class gives the number of folds where it has fewer than 5
    images. Raises ValueError where a class has one image only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(min(FOLDS, _smallest(labels)), shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-3))
    return float(np.mean(cross_val_predict(model, features, labels, cv=folds) == labels))


def _smallest(labels: np.ndarray) -> int:
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    if smallest < 2:
        raise ValueError("needs two images of every class")
    return smallest

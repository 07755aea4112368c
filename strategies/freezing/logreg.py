"""Logistic-regression probe: the convex optimum of the head on frozen features, its strength chosen on validation.

    min_W  C sum_i CE(W z_i, y_i) + 1/2 ||W||^2,   z: features standardised on the training images

by L-BFGS, for 41 values of C from 1e-6 to 1e4; that with the highest validation accuracy (ties: the smallest C) is folded,
with the standardisation, into the head's weights. Where every strategy ends with training on the validation images too (in a
tuned study), it is fitted again on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bench.methods.api import Model, Phase, Phases, Strategy, Task, torch

if TYPE_CHECKING:
    import numpy as np


class LogReg(Strategy):
    """L-BFGS logistic regression on frozen features, C chosen on validation."""

    source = "Radford et al. 2021, arXiv:2103.00020 (A.3); Kornblith et al. 2019, arXiv:1805.08974"
    when = "The field's convention for judging features; no learning rate to tune, and over in seconds."
    against = (
        "No augmentation, and no more than a linear probe can do; few validation images choose C by chance."
    )
    trains_backbone = False
    moves_weights = False
    by_gradient = False

    def phases(self, model: Model, task: Task) -> Phases:
        model.linear("logreg")
        yield Phase("logreg", task.epochs, model.groups(0.0, first=len(model.stages)), solve=solve)


def solve(model: Model, task: Task) -> None:
    """Sets the weight [K, D] and bias [K] of the head; of several classifiers, as they are together."""
    import numpy as np
    from sklearn.preprocessing import StandardScaler

    train, val = (task.features(model, images) for images in task.disjoint)
    scaler = StandardScaler().fit(train[0])  # features that are constant here it leaves unscaled
    (x, y), (x_val, y_val) = ((scaler.transform(z), y) for z, y in (train, val))
    grid = np.logspace(-6, 4, 41)
    scores = [((x_val @ w.T + b).argmax(1) == y_val).mean() for w, b in solutions(x, y, grid)]
    best = grid[int(np.argmax(scores))]  # the first of equals: the smallest C
    if task.apart is not None:  # all others train on the validation images as well
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    ((weight, bias),) = solutions(x, y, [best])
    model.linear("logreg").write(
        torch.as_tensor(weight / scaler.scale_),
        torch.as_tensor(bias - weight @ (scaler.mean_ / scaler.scale_)),
    )


def solutions(x: np.ndarray, y: np.ndarray, grid: Iterable[float]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each C, ascending, the weight [K, D] and bias [K] of the softmax regression on x [N, D], y [N]."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000, tol=1e-5, warm_start=True)
    for c in grid:
        found = model.set_params(C=c).fit(x, y)
        if len(found.classes_) > 2:
            yield found.coef_.copy(), found.intercept_.copy()
        else:  # of two classes scikit-learn keeps the difference
            halves = np.array([-0.5, 0.5])
            yield halves[:, None] * found.coef_, halves * found.intercept_

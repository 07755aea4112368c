"""The table of measures, and all of them at once. On arrays only; their names and directions are in `bench.core.schema`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.core.schema import Measure
from bench.similarity.batch_norm import NO_LAYERS
from bench.similarity.emd import emd_similarity
from bench.similarity.features import Features
from bench.similarity.frechet import standardised
from bench.similarity.hscore import h_score
from bench.similarity.leep import leep
from bench.similarity.logme import logme
from bench.similarity.probe import knn_accuracy, probe_accuracy

NO_SOURCE = "the images that the backbone was pretrained on are unavailable"
NO_HEAD = "the weights came without the classifier that they were pretrained with"

OF_THE_TARGET: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    Measure.LOGME: logme,
    Measure.H_SCORE: h_score,
    Measure.KNN: knn_accuracy,
    Measure.PROBE: probe_accuracy,
}
"""They take features [N, D] of the last layer and labels [N]."""

OF_THE_POOL: dict[str, Callable[[Features, Features], float]] = {
    Measure.FRECHET_STEM: lambda source, pool: standardised(source.stem, pool.stem),
    Measure.FRECHET_TOP: lambda source, pool: standardised(source.top, pool.top),
}
"""They take the features of the source and of the target's pool, without labels.

Not of the labelled images alone: a covariance of few images sets these distances far too high (at 2 images per class
the penultimate one came out double), and sizes could not be compared.
"""


@dataclass
class Measured:
    """What was measured on `images` images of `classes` classes, and why the rest was not: both by measure."""

    images: int
    classes: int
    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, function: Callable[..., float], *args: Any) -> None:
        """Enters the value, or the reason why these data have none: a measure never stops a study."""
        try:
            value = function(*args)
        except (ValueError, ArithmeticError) as error:  # LinAlgError is a ValueError
            self.missing[name] = str(error)
        else:
            self.values.update({name: value} if math.isfinite(value) else {})
            self.missing.update({} if math.isfinite(value) else {name: f"came out as {value}"})


def measure(
    target: Features,
    source: Features | None,
    pool: Features | None,
    no_head: str = NO_HEAD,
    batch_norm: float | str = NO_LAYERS,
) -> Measured:
    """All measures that can be computed.

    target: of the labelled images. source, pool: of images of the source and of the target's pool, or None.
    no_head: why `target` has no probabilities of a source head. batch_norm: the distance of the pool from the statistics
    of the network's BatchNorm layers, or why there is none.
    """
    found = Measured(len(target.labels), len(np.unique(target.labels)))
    if source is None or pool is None:
        found.missing.update(dict.fromkeys([*OF_THE_POOL, Measure.EMD], NO_SOURCE))
    else:
        for name, distance in OF_THE_POOL.items():
            found.note(name, distance, source, pool)
        found.note(Measure.EMD, emd_similarity, source.top, source.labels, target.top, target.labels)
    if isinstance(batch_norm, str):
        found.missing[Measure.BATCH_NORM] = batch_norm
    else:
        found.note(Measure.BATCH_NORM, float, batch_norm)
    if target.theta is None:
        found.missing[Measure.LEEP] = no_head
    else:
        found.note(Measure.LEEP, leep, target.theta, target.labels)
    for name, score in OF_THE_TARGET.items():
        found.note(name, score, target.top, target.labels)
    return found

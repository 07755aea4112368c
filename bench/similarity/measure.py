"""A target dataset at its sizes, seen by one backbone: images -> features -> measures, kept in the cache.

From images of the pool only, the labelled ones those of the study's first seed; test images are never touched. Features
are extracted once, of the largest size: the smaller subsets lie within it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from bench.core.errors import UserError
from bench.core.records.measures import MeasuresRecord
from bench.core.spec import BackboneSpec, DatasetSpec, RunSpec
from bench.data.images import ImageSet
from bench.data.splits import k_shot
from bench.models import usable
from bench.models.model import Model
from bench.planning import measured_similarity as record
from bench.similarity import batch_norm
from bench.similarity.features import extract, sample
from bench.similarity.frechet import distance
from bench.similarity.measures import NO_HEAD, measure
from bench.storage.places import Places
from bench.training.cost import forward_flops
from bench.training.device import placed
from bench.training.run.ingredients import make_model, prepare_dataset

IMAGES = 2000
"""At most so many images of either side, ..."""

FLOPS = 2e12
"""... and at most so much work: a few seconds on a CPU. Large networks get fewer images, the same on every machine."""

LEAST = 10
"""But never fewer images of a class, as far as it has them."""


def measure_dataset(
    dataset: DatasetSpec,
    sizes: Mapping[Any, int],
    backbone: BackboneSpec,
    seed: int,
    image_size: int | None,
    places: Places,
) -> list[MeasuresRecord]:
    """One entry per size.

    sizes: n as in the spec -> images per class.
    """
    keys = {n: record.MeasuresKey(dataset, n, backbone, seed, image_size) for n in sizes}
    if not all(record.read_measures(key, places.cache) for key in keys.values()):
        for n, found in _measure(dataset, list(sizes), backbone, seed, image_size, places).items():
            record.write_measures(found, keys[n], places.cache)
    return [
        MeasuresRecord(backbone.label, images, **(record.read_measures(keys[n], places.cache) or {}))
        for n, images in sizes.items()
    ]


def _measure(
    dataset: DatasetSpec,
    sizes: list[Any],
    backbone: BackboneSpec,
    seed: int,
    image_size: int | None,
    places: Places,
) -> dict[Any, dict[str, Any]]:
    """-> images, classes, values and missing, by size."""
    torch.manual_seed(0)
    model = _make_model(backbone, image_size, places).eval()
    limit = min(IMAGES, int(FLOPS / max(1, forward_flops(model))))
    images = prepare_dataset(dataset, backbone, image_size, places).pool
    subsets = {n: first_of_each_class(images, n, seed, limit) for n in sizes}
    union = np.unique(np.concatenate(list(subsets.values())))
    head, why = _load_source_head(model)
    target = extract(model, images.subset(torch.from_numpy(union)), head)
    source = pool = None
    if backbone.source:
        source_images = prepare_dataset(backbone.source, backbone, image_size, places).pool
        source, pool = (extract(model, sample(x, limit)) for x in (source_images, images))
    norm = _batch_norm(model, backbone, sample(images, limit))
    return {
        n: asdict(measure(target.at(np.searchsorted(union, chosen)), source, pool, why, norm))
        for n, chosen in subsets.items()
    }


def _batch_norm(model: Model, backbone: BackboneSpec, images: ImageSet) -> float | str:
    """The distance from what the network's BatchNorm layers saw, or why there is none."""
    if backbone.weights == "random":
        return batch_norm.NO_SOURCE
    try:
        return batch_norm.distance(model, images)
    except ValueError as error:
        return str(error)


def _make_model(backbone: BackboneSpec, image_size: int | None, places: Places) -> Model:
    model = make_model(backbone, 2, image_size, places)
    usable.check(model, backbone.label)
    return placed(model, _device())


def _load_source_head(model: Model) -> tuple[Any, str]:
    """The classifier of the pretraining, or None and why there is none."""
    try:
        head = model.source_head()
        head(torch.zeros(1, model.feature_dim, device=_device()))
    except (UserError, RuntimeError) as error:  # the latter: it does not take what this network gives
        return None, str(error) or NO_HEAD
    return head, ""


def first_of_each_class(pool: ImageSet, n: Any, seed: int, limit: int) -> np.ndarray:
    """Indices of the labelled images of a seed: of each class the first ones, so that all together keep the limit.

    The subset for a smaller n lies within that for a larger one.
    """
    chosen = k_shot(pool.y, n, 0.0, seed).train.numpy()  # class by class
    labels = pool.y.numpy()[chosen]
    classes, starts = np.unique(labels, return_index=True)
    rank = np.arange(len(labels)) - starts[np.searchsorted(classes, labels)]
    kept: np.ndarray = chosen[rank < max(LEAST, limit // len(classes))]
    return kept


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure_similarity(spec: RunSpec, places: Places) -> float:
    """Distance of the run's dataset from the source of its backbone, measured on that backbone and recorded."""
    backbone, size = spec.backbone, spec.train.image_size
    assert backbone.source
    model = _make_model(backbone, size, places)
    source, target = (
        prepare_dataset(d, backbone, size, places).pool for d in (backbone.source, spec.dataset)
    )
    found = distance(model, source, target)
    record.write(found, spec.dataset, backbone, size, places.cache)
    return found

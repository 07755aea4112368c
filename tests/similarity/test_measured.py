"""Measures of images on a network: from the labelled images of the pool, kept by content, and never from test images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.schema import MEASURES, Measure
from bench.core.spec import BackboneSpec, DatasetSpec, PartSpec, RunSpec, StrategySpec, TrainSpec
from bench.data.images import ImageSet
from bench.similarity import measure as measuring
from bench.similarity.measure import first_of_each_class, measure_dataset, measure_similarity
from bench.storage.places import Places
from bench.training.run.ingredients import make_model, prepare_dataset

SOURCE = DatasetSpec("synthetic/source", {"pool_per_class": 8, "test_per_class": 2})
FINE = DatasetSpec("synthetic/fine", {"pool_per_class": 12, "test_per_class": 2})
BACKBONE = BackboneSpec("test_resnet", "source", source=SOURCE, source_train={"epochs": 1}, label="net")
RANDOM = BackboneSpec("test_resnet", "random", label="net")
SIZES = {3: 3, 10: 10}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(Path("."), tmp_path_factory.mktemp("cache"))


def test_all_measures_of_every_size_and_the_source_free_ones_without_a_source(places: Places) -> None:
    small, large = measure_dataset(FINE, SIZES, BACKBONE, 0, 32, places)
    assert (small.backbone, small.n_per_class, small.images, small.classes) == ("net", 3, 30, 10)
    assert set(small.values) == set(large.values) == set(MEASURES)
    assert small.values[Measure.FRECHET_STEM] == large.values[Measure.FRECHET_STEM]
    assert small.values[Measure.LOGME] != large.values[Measure.LOGME]
    (alone,) = measure_dataset(FINE, {3: 3}, RANDOM, 0, 32, places)
    assert set(alone.values) == {Measure.LOGME, Measure.H_SCORE, Measure.KNN, Measure.PROBE}
    assert "unavailable" in alone.missing[Measure.EMD] and "classifier" in alone.missing[Measure.LEEP]


def test_the_stem_distance_is_the_one_that_cells_are_told_apart_by(places: Places) -> None:
    train = TrainSpec(image_size=32)
    spec = RunSpec(FINE, 3, BACKBONE, StrategySpec(PartSpec("full"), PartSpec("uniform")), 0, train)
    (found, _) = measure_dataset(FINE, SIZES, BACKBONE, 0, 32, places)
    assert found.values[Measure.FRECHET_STEM] == pytest.approx(measure_similarity(spec, places))


def test_measures_are_found_again_and_belong_to_their_seed(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure_dataset(FINE, SIZES, RANDOM, 0, 32, places)
    other = measure_dataset(FINE, SIZES, RANDOM, 1, 32, places)
    assert first[0].values != other[0].values
    monkeypatch.setattr(measuring, "make_model", None)  # nothing is computed again
    renamed = replace(RANDOM, label="again")
    again = measure_dataset(FINE, SIZES, renamed, 0, 32, places)
    assert [entry.values for entry in again] == [entry.values for entry in first]
    assert again[0].backbone == "again"


def test_test_images_are_not_looked_at(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured anew, of target and source, while what maps arrays into memory is told of each file."""
    expected = measure_dataset(FINE, SIZES, BACKBONE, 5, 32, places)
    for path in (places.cache / "similarity").glob("*.json"):
        path.unlink()
    opened: list[str] = []

    def load(path: Path, *args: Any, real: Any = np.load, **kwargs: Any) -> Any:
        opened.append(Path(path).name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(np, "load", load)
    assert measure_dataset(FINE, SIZES, BACKBONE, 5, 32, places) == expected
    assert "pool.npy" in opened and not [name for name in opened if name.startswith("test")]


def test_subsets_are_the_seed_s_nested_and_limited() -> None:
    y = torch.arange(4).repeat_interleave(50)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    pool = ImageSet(torch.zeros(200, 3, 8, 8, dtype=torch.uint8), y)
    few, many = (first_of_each_class(pool, n, 0, 2000) for n in (5, 20))
    assert set(few) < set(many) and np.bincount(y[many]).tolist() == [20] * 4
    assert set(many) != set(first_of_each_class(pool, 20, 1, 2000))
    limited = first_of_each_class(pool, "all", 0, 60)
    assert np.bincount(y[limited]).tolist() == [15] * 4 and set(few) < set(limited)
    assert np.bincount(y[first_of_each_class(pool, 20, 0, 1)]).tolist() == [10] * 4


def test_low_level_distance_follows_the_similarity_setting_with_random_weights(places: Places) -> None:
    """s = 1, .5, 0. The stem needs no training for it: random filters see colours and edges."""
    torch.manual_seed(0)
    from bench.similarity.frechet import distance

    model = make_model(RANDOM, 2, 32, places)
    source = prepare_dataset(SOURCE, RANDOM, 32, places).pool
    options = {"pool_per_class": 40, "test_per_class": 2}
    blends = [DatasetSpec("synthetic/blend", {**options, "similarity": s}) for s in (1.0, 0.5, 0.0)]
    found = [distance(model, source, prepare_dataset(blend, RANDOM, 32, places).pool) for blend in blends]
    assert found[0] < found[1] < found[2], found
    assert found[2] > 3 * found[0]

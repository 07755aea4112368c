"""Backbones pretrained here: once, kept by content, good on their source; similarity measured on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec, PartSpec, RunSpec, StrategySpec, TrainSpec
from bench.planning import measured_similarity as record
from bench.similarity.frechet import distance, frechet
from bench.similarity.measure import measure_similarity
from bench.storage.places import Places
from bench.training.run.ingredients import make_model
from bench.training.run.pretrain import pretrain

SOURCE = DatasetSpec("synthetic/source", {"pool_per_class": 24, "test_per_class": 5})
BACKBONE = BackboneSpec(
    "test_resnet", "source", source=SOURCE, source_train={"epochs": 5}, label="test_resnet"
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(Path("."), tmp_path_factory.mktemp("cache"))


def test_a_source_is_learnt_once_and_found_again(places: Places) -> None:
    first = pretrain(BACKBONE, 32, places.base, places.cache)
    assert first.accuracy > 4 / 40, "no better than chance on its own source"
    changed = first.path.stat().st_mtime_ns
    again = pretrain(BACKBONE, 32, places.base, places.cache)
    assert again == first and again.path.stat().st_mtime_ns == changed
    other = replace(BACKBONE, source_train={"epochs": 1})
    assert pretrain(other, 32, places.base, places.cache).path != first.path


def test_its_weights_and_pixel_statistics_reach_the_model(places: Places) -> None:
    torch.manual_seed(0)
    model = make_model(BACKBONE, 10, 32, places)
    assert model.load_report.backbone_share == 1.0
    assert model.image_size == 32 and model.mean != (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("settings", "says"), [({"epoch": 3}, "did you mean epochs"), ({"epochs": "many"}, "epochs")]
)
def test_a_wrong_recipe_is_refused(settings: dict[str, object], says: str, places: Places) -> None:
    with pytest.raises(UserError, match=says):
        pretrain(replace(BACKBONE, source_train=settings), 32, places.base, places.cache)


def test_measured_distance_grows_as_the_targets_leave_the_source(places: Places) -> None:
    spec = RunSpec(
        SOURCE, 5, BACKBONE, StrategySpec(PartSpec("full"), PartSpec("uniform")), 0, TrainSpec(image_size=32)
    )
    options = {"pool_per_class": 40, "test_per_class": 2}
    found = []
    for similarity in (1.0, 0.5, 0.0):
        dataset = DatasetSpec("synthetic/blend", {**options, "similarity": similarity})
        found.append(measure_similarity(replace(spec, dataset=dataset), places))
        assert record.read(dataset, BACKBONE, 32, places.cache) == found[-1]
    assert found == sorted(found) and found[0] < 0.15 < found[1]


def test_a_set_is_at_distance_zero_from_itself(places: Places) -> None:
    from bench.training.run.ingredients import prepare_dataset

    model, images = make_model(BACKBONE, 10, 32, places), prepare_dataset(SOURCE, BACKBONE, 32, places).pool
    assert distance(model, images, images) == pytest.approx(0, abs=1e-6)


def test_frechet_of_known_gaussians() -> None:
    """N(0, I) against N(m, 4 I) in D dimensions: |m|^2 + D (1 + 4 - 4)."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200_000, 3, generator=generator).double().numpy()
    b = 2 * torch.randn(200_000, 3, generator=generator).double().numpy() + 1
    assert frechet(a, b) == pytest.approx(3 + 3, rel=0.02)

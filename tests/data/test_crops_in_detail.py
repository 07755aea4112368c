"""Random crops are drawn from images in more detail than is stored of them: what a crop of a smaller one would blur."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec, PartSpec, RunSpec, StrategySpec, TrainSpec
from bench.data.augment import draw, taken, view
from bench.data.images import ImageSet
from bench.data.prepare import Prepared, Resolution, load, load_test, prepare
from bench.data.task import Task
from bench.data.views import views_of
from bench.methods.api import Phase
from bench.models.build import build
from bench.storage.places import Places
from bench.training.batches import Batches
from bench.training.run.ingredients import prepare_for
from tests.support.image_samples import random_image

HERE = Path(".")
SMALL, CROPS = Resolution(8, 10), Resolution(8, 10, crops=True)
NETWORK = BackboneSpec("test_resnet", "random")


def made(root: Path, cache: Path, resolution: Resolution) -> Prepared:
    return load(prepare(DatasetSpec(f"folder:{root}"), resolution, HERE, cache))


def test_crops_have_the_same_images_in_more_detail_and_nothing_else_changes(tree, tmp_path: Path) -> None:
    root = tree({"a": 5, "b": 5})
    for path in root.rglob("*.png"):
        Image.open(path).resize((40, 30), Image.Resampling.BICUBIC).save(path)
    shutil.copy(root / "a" / "0.png", root / "a" / "zz.png")  # excluded from both
    plain, crops = (made(root, tmp_path / "cache", resolution) for resolution in (SMALL, CROPS))
    assert plain.path != crops.path and plain.pool.large is None
    assert torch.equal(plain.pool.x, crops.pool.x) and crops.pool.large is not None
    assert load_test(crops.path).large is None
    for small, large in zip(crops.pool.x, crops.pool.for_crops().x, strict=True):
        assert large.shape == (3, 15, 15)
        shrunk = Image.fromarray(large.permute(1, 2, 0).numpy()).resize((10, 10), Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(shrunk).astype(int) - small.permute(1, 2, 0).numpy()).mean() < 12


def test_crops_are_cut_where_the_images_lie(tree, tmp_path: Path) -> None:
    """Without a copy of whole images, and to the same pixels as from a batch of copies."""
    root = tree({"a": 5, "b": 5})
    for path in root.rglob("*.png"):
        Image.open(path).resize((140, 120), Image.Resampling.BICUBIC).save(path)
    prepared = load(
        prepare(DatasetSpec(f"folder:{root}"), Resolution(64, 73, crops=True), HERE, tmp_path / "cache")
    )
    for images in (prepared.pool, prepared.pool.subset(torch.tensor([4, 1, 2]))):
        source, index, cpu = images.for_crops(), torch.tensor([2, 0]), torch.device("cpu")
        assert source.side == 110 and source.stored.is_contiguous(memory_format=torch.channels_last)
        drawn = draw("crop", 2, source.side, torch.Generator().manual_seed(0))
        found = taken(source, index, drawn, 64, cpu)
        assert isinstance(found, list)
        assert [x.data_ptr() for x in found] == [
            source.stored[i].data_ptr() for i in source_rows(source, index)
        ]
        look = ((0.5,) * 3, (0.25,) * 3)
        copies = source.at(index).contiguous()
        assert torch.equal(view(found, drawn, 64, *look), view(copies, drawn, 64, *look))


def source_rows(images: ImageSet, index: torch.Tensor) -> list[int]:
    return (index if images.rows is None else images.rows[index]).tolist()


def test_small_images_are_not_blown_up(tmp_path: Path) -> None:
    for name, side in (("as small", 10), ("a little larger", 12)):
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(3):
                random_image(i + 10 * (label == "b")).resize((side, side + 4)).save(
                    tmp_path / name / label / f"{i}.png"
                )
    assert made(tmp_path / "as small", tmp_path / "cache", CROPS).pool.large is None
    assert made(tmp_path / "a little larger", tmp_path / "cache", CROPS).pool.for_crops().side == 12


def test_an_image_is_decoded_once_for_both_sizes(
    tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree({"a": 4, "b": 4})
    for path in root.rglob("*.png"):
        Image.open(path).resize((40, 30)).save(path.with_suffix(".jpg"))
        path.unlink()
    loaded: list[str] = []
    load_pixels = JpegImageFile.load

    def counted(image: JpegImageFile) -> object:
        loaded.extend([str(image.fp.name)] if image.tile else [])
        return load_pixels(image)

    monkeypatch.setattr(JpegImageFile, "load", counted)
    prepared = made(root, tmp_path / "cache", CROPS)
    assert prepared.pool.large is not None and sorted(loaded) == sorted(map(str, root.rglob("*.jpg")))


def test_a_damaged_image_is_named_all_the_same(tree, tmp_path: Path) -> None:
    root = tree({"a": 3, "b": 3})
    (root / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1\.png: not an image"):
        made(root, tmp_path / "cache", CROPS)


def two_sides(n: int = 8) -> ImageSet:
    """Black where they are small, white where they are large."""
    black, white = (
        torch.full((n, 3, side, side), level, dtype=torch.uint8) for side, level in ((36, 0), (54, 255))
    )
    return ImageSet(black, torch.arange(n) % 2, large=white)


def test_subsets_and_sums_keep_both_sizes_together() -> None:
    images = two_sides()
    part = images.subset(torch.tensor([3, 1])).with_more(images.subset(torch.tensor([0])))
    assert part.y.tolist() == [1, 1, 0] and part.for_crops().x.shape == (3, 3, 54, 54)
    assert images.nbytes == 8 * 3 * (36**2 + 54**2)
    with pytest.raises(TypeError, match="want uint8"):
        ImageSet(images.stored, images.y, large=images.large[:3])  # type: ignore[index]


@pytest.mark.parametrize(("augment", "white"), [("none", False), ("flip", False), ("crop", True)])
def test_only_crops_are_of_the_large_images(augment: str, white: bool) -> None:
    images, model = two_sides(), build(NETWORK, 2, 32)
    train = TrainSpec(batch_size=4, augment=augment, precision="fp32")  # type: ignore[arg-type]
    task = Task(images, images, 2, 1, 4)
    fixed = replace(train, views=3) if augment == "crop" else train
    for settings in (train, fixed):
        batches = Batches(task, settings, torch.device("cpu"), 0)
        (first, *_) = batches.epoch(model, Phase("full", 1, model.groups(0.1)))
        assert (first.x.min() > 0) if white else (first.x.max() < 0)
    views = views_of(images, augment, 3)  # type: ignore[arg-type]
    assert views and views.source(images).side == (54 if white else 36)
    if white:
        boxes = views.drawn(torch.arange(24)).boxes
        assert boxes and int((boxes.top + boxes.height).max()) > 36


def test_a_run_under_crops_is_prepared_for_them_and_is_another_run_than_it_was(tree, tmp_path: Path) -> None:
    dataset = DatasetSpec(f"folder:{tree({'a': 4, 'b': 4})}")
    strategy = StrategySpec(PartSpec("full", {"lr": 0.1}), ())
    spec = RunSpec(dataset, 2, NETWORK, strategy, 0, TrainSpec(image_size=8, precision="fp32"))
    crops = replace(spec, train=replace(spec.train, augment="crop"))
    places = Places(HERE, tmp_path)
    assert prepare_for(spec, places).pool.large is None and prepare_for(crops, places).pool.large is not None
    assert "crops" not in spec.identity() and crops.identity()["crops"] == 2

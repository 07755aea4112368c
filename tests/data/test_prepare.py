"""Prepared datasets are complete or absent, hold what was decoded, and leak no test image to the pool."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import prepare as prepare_module
from bench.data.decoding.decode import squares
from bench.data.prepare import Prepared, Resolution, load, load_test, prepare
from bench.storage import arrays as store
from tests.support.image_samples import random_image

HERE = Path(".")
SMALL = Resolution(size=8, stored=10)
WORLD = DatasetSpec("synthetic/fine", {"pool_per_class": 4, "test_per_class": 2})


def prepared(root: Path, cache: Path, resolution: Resolution = SMALL) -> Prepared:
    return load(prepare(DatasetSpec(f"folder:{root}"), resolution, HERE, cache))


def contents(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_world_is_prepared_once_and_loaded_without_a_warning(tmp_path: Path) -> None:
    path = prepare(WORLD, Resolution(16, 20), HERE, tmp_path)
    stamp = (path / "pool.npy").stat().st_mtime_ns
    assert (
        prepare(WORLD, Resolution(16, 24), HERE, tmp_path) == path
    )  # rendered at `size`: `stored` is the same
    assert (path / "pool.npy").stat().st_mtime_ns == stamp
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(path)
    assert data.pool.x.shape == (40, 3, 16, 16) and load_test(data.path).x.shape == (20, 3, 16, 16)
    assert data.pool.class_counts(10).tolist() == [4] * 10 and data.classes[3] == "class 03"
    assert data.notes == []


def test_what_would_change_the_images_changes_the_folder(tmp_path: Path) -> None:
    specs = [WORLD, DatasetSpec("synthetic/fine", {**WORLD.options, "draw": 1})]
    sizes = [Resolution(8, 8), Resolution(9, 9)]
    assert len({prepare(spec, size, HERE, tmp_path) for spec in specs for size in sizes}) == 4


def test_loaded_arrays_are_shared_and_protected(tmp_path: Path) -> None:
    path = prepare(WORLD, Resolution(8, 8), HERE, tmp_path)
    load(path).pool.x.zero_()  # a slip of a caller stays in the caller's own copy
    assert load(path).pool.x.any()


def test_folder_images_are_decoded_as_they_are(tree, tmp_path: Path) -> None:
    root = tree({"a": 4, "b": 6}, under="train")
    tree({"a": 2, "b": 2}, under="test")
    data = prepared(root, tmp_path / "cache")
    assert data.classes == ["a", "b"] and data.pool.y.tolist() == [0] * 4 + [1] * 6
    with Image.open(
        root / "train" / "a" / "1.png"
    ) as image:  # 12 x 10 pixels: the stored square needs no resizing
        expected = np.asarray(image)[:, 1:11].transpose(2, 0, 1)
    assert (data.pool.x[1].numpy() == expected).all()


def test_a_changed_file_is_decoded_again(tree, tmp_path: Path) -> None:
    root = tree({"a": 4, "b": 4})
    first = prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, tmp_path / "cache")
    random_image(99).save(root / "a" / "0.png")
    os.utime(root / "a" / "0.png", ns=(1, 1))
    assert prepare(DatasetSpec(f"folder:{root}"), SMALL, HERE, tmp_path / "cache") != first


def test_duplicates_are_excluded_and_reported(tree, tmp_path: Path) -> None:
    root = tree({"a": 5, "b": 5}, under="train")
    tree({"a": 3, "b": 3}, under="test")
    shutil.copy(root / "test" / "b" / "0.png", root / "train" / "a" / "leak.png")
    shutil.copy(root / "train" / "a" / "0.png", root / "train" / "a" / "again.png")
    data = prepared(root, tmp_path / "cache")
    assert len(data.pool) == 10 and len(load_test(data.path)) == 6
    assert not contents(data.pool.x) & contents(load_test(data.path).x)
    assert len(contents(data.pool.x)) == 10
    leaked, repeated = data.notes
    assert leaked.startswith(
        "images also in the test set, excluded from training: 1, 1 of them under another"
    )
    assert leaked.endswith("(train/a/leak.png)")
    assert repeated == "images that repeat a training image, excluded: 1 (train/a/again.png)"


def test_a_repeat_in_the_held_out_part_never_stays_in_the_pool(tree, tmp_path: Path) -> None:
    root = tree({"a": 10, "b": 10})
    for i in range(10):
        shutil.copy(root / "a" / f"{i}.png", root / "a" / f"copy{i}.png")
    data = prepared(root, tmp_path / "cache")
    assert not contents(data.pool.x) & contents(load_test(data.path).x)


def test_an_unknown_interpolation_is_refused(tree, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'bicubik'; did you mean bicubic"):
        prepared(tree({"a": 2, "b": 2}), tmp_path, Resolution(8, 8, "bicubik"))


def test_photographs_are_upright_8_bit_rgb() -> None:
    wide = Image.new("RGB", (20, 10), "red")
    wide.paste("blue", (0, 0, 10, 10))  # blue left, red right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: blue comes to the top
    wide.getexif().update(exif)
    (pixels,) = squares(wide, [10], Image.Resampling.BICUBIC)
    assert pixels[2, 0].mean() > 200 and pixels[0, -1].mean() > 200
    deep = Image.fromarray(np.full((4, 4), 128 << 8, dtype=np.uint16))
    assert (squares(deep, [4], Image.Resampling.BICUBIC)[0] == 128).all()
    for mode in ("L", "RGBA", "P", "CMYK", "1"):
        assert squares(Image.new(mode, (6, 9)), [4], Image.Resampling.BICUBIC)[0].shape == (3, 4, 4)


def assert_nothing_readable(cache: Path) -> None:
    assert [path for path in (cache / "data").iterdir() if path.name != ".locks"] == []


@pytest.mark.parametrize("step", ["rename", "write_text"])
def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path, monkeypatch, step: str) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    owner = store.os if step == "rename" else prepare_module
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, step, interrupt)
        prepare(WORLD, SMALL, HERE, tmp_path)
    assert_nothing_readable(tmp_path)
    assert len(load(prepare(WORLD, SMALL, HERE, tmp_path)).pool) == 40


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    target = prepare(WORLD, SMALL, HERE, tmp_path)
    leftover = target.with_name(f".{target.name}-dead")
    os.rename(target, leftover)
    assert prepare(WORLD, SMALL, HERE, tmp_path) == target
    assert not leftover.exists()


def test_losing_a_race_keeps_the_winners_folder(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with store.staged(target) as folder:
        (folder / "who").write_text("loser")
        target.mkdir()
        (target / "who").write_text("winner")
    assert (target / "who").read_text() == "winner"
    assert list(tmp_path.iterdir()) == [target]


def test_processes_at_once_agree(tree, tmp_path: Path) -> None:
    spec = DatasetSpec(f"folder:{tree({'a': 40, 'b': 40})}")
    fork = multiprocessing.get_context("fork")  # a fresh interpreter would import torch for seconds
    processes = [fork.Process(target=prepare, args=(spec, SMALL, HERE, tmp_path / "c")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    (folder,) = (path for path in (tmp_path / "c" / "data").iterdir() if path.name != ".locks")
    assert len(load(folder).pool) == 56


def test_a_pool_that_is_all_in_the_test_set_is_refused(tree, tmp_path: Path) -> None:
    root = tree({"a": 3, "b": 3}, under="train")
    shutil.copytree(root / "train", root / "test")
    with pytest.raises(UserError, match=r"no training images\. images also in the test set.*: 6"):
        prepared(root, tmp_path / "cache")


def test_array_files_grow(tmp_path: Path) -> None:
    rows = np.arange(6000, dtype=np.int64).astype(np.uint8).reshape(1000, 3, 2)
    with store.ArrayFile(tmp_path / "a.npy") as file:
        for part in (rows[:1], rows[1:998], rows[998:]):
            file.append(part)
        with pytest.raises(ValueError, match="want uint8"):
            file.append(rows.astype(np.int64))
    assert (np.load(tmp_path / "a.npy") == rows).all()


def test_real_photographs(real_data: Path, tmp_path: Path) -> None:
    data = prepared(real_data / "clothing10", tmp_path, Resolution(32, 40))
    assert data.pool.x.shape == (500, 3, 40, 40) and load_test(data.path).x.shape == (372, 3, 40, 40)
    assert data.pool.class_counts(10).tolist() == [50] * 10
    assert 60 < data.pool.x.float().mean() < 200


def test_real_photographs_that_leak_are_found(real_data: Path, tmp_path: Path) -> None:
    data = prepared(real_data / "flowers5", tmp_path, Resolution(32, 32))
    assert len(data.pool) == 998
    assert any("also in the test set, excluded from training: 2 (" in note for note in data.notes)

"""timm's datasets, with a double in place of `timm.data.create_dataset`: nothing is downloaded."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm.data
from PIL import Image

from bench.core.errors import UserError
from bench.core.spec import DatasetSpec
from bench.data import registry
from bench.data.prepare import Resolution, load, load_test, prepare
from tests.support.image_samples import random_image

SMALL = Resolution(8, 10)


class Indexed:
    """As torchvision's: indexed, with class names."""

    classes = ("cat", "dog")

    def __init__(self, seeds: range) -> None:
        self._seeds = seeds

    def __len__(self) -> int:
        return len(self._seeds)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return random_image(self._seeds[i]), i % 2


class Streamed:
    """As TensorFlow's: iterated, its length and class names unknown."""

    def __init__(self, seeds: range) -> None:
        self._seeds = seeds

    def __iter__(self):
        return ((random_image(seed), seed % 3) for seed in self._seeds)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replaces timm's function; returns what it is called with."""
    made: list[dict[str, Any]] = []

    def create(name: str, **kwargs: Any) -> Any:
        made.append({"name": name, **kwargs})
        if kwargs["split"] == "absent":
            raise RuntimeError("Dataset not found or corrupted")
        seeds = range(150) if kwargs["split"] == "train" else range(144, 164)  # six images in both
        return Indexed(seeds) if name.startswith("torch/") else Streamed(seeds)

    monkeypatch.setattr(timm.data, "create_dataset", create)
    return made


def test_torch_datasets_are_downloaded_split_and_cleaned(calls, tmp_path: Path) -> None:
    data = load(prepare(DatasetSpec("torch/cifar10"), SMALL, Path("."), tmp_path))
    assert [(call["name"], call["split"], call["download"]) for call in calls] == [
        ("torch/cifar10", "validation", True),
        ("torch/cifar10", "train", True),
    ]
    assert {call["root"] for call in calls} == {str(tmp_path / "downloads")}
    assert data.classes == ["cat", "dog"]
    assert load_test(data.path).x.shape == (20, 3, 10, 10) and len(data.pool) == 144
    assert data.notes[0].startswith("images also in the test set, excluded from training: 6 (")


def test_streamed_datasets_number_their_classes(calls, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    spec = DatasetSpec("hfds/owner/name", {"test_split": "holdout"})
    data = load(prepare(spec, SMALL, Path("."), tmp_path))
    assert data.classes == ["0", "1", "2"] and len(load_test(data.path)) == 20
    assert [call["split"] for call in calls] == ["holdout", "train"]


def test_the_label_may_be_another_field(calls, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    prepare(DatasetSpec("tfds/smallnorb", {"label": "label_azimuth"}), SMALL, Path("."), tmp_path)
    prepare(DatasetSpec("torch/cifar10"), SMALL, Path("."), tmp_path)
    assert [call.get("target_key") for call in calls] == ["label_azimuth", "label_azimuth", None, None]


def test_root_is_relative_to_the_base(calls, tmp_path: Path) -> None:
    prepare(DatasetSpec("torch/mnist", {"root": "mine"}), SMALL, tmp_path, tmp_path / "cache")
    assert calls[0]["root"] == str(tmp_path / "mine")


def test_unknown_names_are_refused_before_downloading(calls, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'torch/cifar11'; did you mean cifar10"):
        prepare(DatasetSpec("torch/cifar11"), SMALL, Path("."), tmp_path)
    assert calls == []


def test_a_failing_download_is_told_with_its_reason(calls, tmp_path: Path) -> None:
    spec = DatasetSpec("torch/cifar10", {"test_split": "absent"})
    with pytest.raises(UserError, match="'torch/cifar10', test_split 'absent': Dataset not found"):
        prepare(spec, SMALL, Path("."), tmp_path)


@pytest.mark.parametrize(("label", "message"), [(None, "has label None"), (7, "labels from 0 to 7, but 2")])
def test_labels_that_do_not_fit_are_refused(calls, tmp_path: Path, monkeypatch, label, message: str) -> None:
    original = Indexed.__getitem__
    monkeypatch.setattr(
        Indexed, "__getitem__", lambda self, i: (original(self, i)[0], label if i == 3 else i % 2)
    )
    with pytest.raises(UserError, match=message):
        prepare(DatasetSpec("torch/cifar10"), SMALL, Path("."), tmp_path)


class InFiles(timm.data.ImageDataset):
    """As timm gives Hugging Face's: a reader of open files, which timm itself opens."""

    class Reader:
        def __init__(self, contents: list[bytes]) -> None:
            self.contents = contents

        def __getitem__(self, i: int) -> tuple[io.BytesIO, int]:
            return io.BytesIO(self.contents[i]), i % 2

        def __len__(self) -> int:
            return len(self.contents)

    def __init__(self, contents: list[bytes]) -> None:
        super().__init__("", reader=self.Reader(contents))  # type: ignore[arg-type]


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """The files of each split, which a test may change."""
    splits = {
        "train": [saved(random_image(i)) for i in range(12)],
        "test": [saved(random_image(i)) for i in range(20, 26)],
    }
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(timm.data, "create_dataset", lambda name, split, **_: InFiles(splits[split]))
    return splits


def test_a_damaged_image_is_named_and_never_replaced_by_its_neighbour(in_files, tmp_path: Path) -> None:
    """timm takes the next one, which then counts twice: a test image for two."""
    in_files["test"][2] = b"no image"
    in_files["train"][5] = in_files["train"][5][:60]
    spec = DatasetSpec("hfds/owner/name")
    with pytest.raises(UserError) as error:
        prepare(spec, SMALL, Path("."), tmp_path)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("dataset 'hfds/owner/name', test image 2: not an image")
    assert lines[1].startswith("dataset 'hfds/owner/name', train image 5: not a")
    assert lines[2].startswith("2 damaged images.")
    skipped = DatasetSpec(spec.name, {"skip_damaged": True})
    data = load(prepare(skipped, SMALL, Path("."), tmp_path))
    test = load_test(data.path)
    assert len(data.pool) == 11 and len(test) == 5 and test.y.tolist() == [0, 1, 1, 0, 1]
    note = "damaged images, left out (skip_damaged): 2, 1 of them test images (test image 2, train image 5)"
    assert note in data.notes


def test_greys_of_16_bits_need_a_range_and_are_not_clipped_at_255(in_files, tmp_path: Path) -> None:
    for part, files in in_files.items():
        for i in range(len(files)):
            values = np.random.default_rng(i + 50 * (part == "test")).integers(
                0, 4096, (12, 12), dtype=np.uint16
            )
            files[i] = saved(Image.fromarray(values))
    with pytest.raises(
        UserError, match=r"'hfds/o/n': its greys have more than 8 bits; .*range: \[low, high\]"
    ):
        prepare(DatasetSpec("hfds/o/n"), SMALL, Path("."), tmp_path)
    data = load(prepare(DatasetSpec("hfds/o/n", {"range": [0, 4095]}), SMALL, Path("."), tmp_path))
    assert len(data.pool) == 12 and 100 < float(data.pool.x.float().mean()) < 155


def test_an_iterated_dataset_that_fails_is_told_with_the_place(tmp_path: Path, monkeypatch) -> None:
    def failing():
        yield random_image(0), 0
        raise OSError("broken data stream when reading image file")

    class Stream:
        def __iter__(self):
            return failing()

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(timm.data, "create_dataset", lambda name, **_: Stream())
    with pytest.raises(UserError, match=r"test image 1: cannot be read .broken data stream"):
        prepare(DatasetSpec("tfds/name"), SMALL, Path("."), tmp_path)


def test_shards_are_identified_by_their_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(
        timm.data,
        "create_dataset",
        lambda name, split, **_: Indexed(range(9) if split == "train" else range(9, 12)),
    )
    (tmp_path / "shards").mkdir()
    shard = tmp_path / "shards" / "train-0.tar"
    shard.write_bytes(b"a" * 100)
    os.utime(shard, (1, 1))
    options = {"root": "shards"}
    spec, _ = registry.identified("wds/mine", options, tmp_path)
    first = prepare(spec, SMALL, tmp_path, tmp_path / "cache")
    shard.write_bytes(b"b" * 100)
    os.utime(shard, (1, 1))
    with pytest.raises(UserError, match="have changed since the study was planned"):
        prepare(spec, SMALL, tmp_path, tmp_path / "cache")
    again, _ = registry.identified("wds/mine", options, tmp_path)
    assert again.content != spec.content and prepare(again, SMALL, tmp_path, tmp_path / "cache") != first


def test_a_downloaded_dataset_is_the_same_run_before_and_after(calls, tmp_path: Path) -> None:
    before, _ = registry.identified("torch/cifar10", {"root": "there"}, tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"downloaded")
    assert (
        registry.identified("torch/cifar10", {"root": "there"}, tmp_path)[0]
        == before
        == DatasetSpec("torch/cifar10", {"root": "there"})
    )

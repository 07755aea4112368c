"""timm's datasets, with a double in place of `timm.data.create_dataset`: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm.data
from image_samples import random_image

from bench.data.prepare import Resolution, load, load_test, prepare
from bench.errors import UserError
from bench.spec import DatasetSpec

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

"""Measured similarities, kept in the cache so that planning can read them without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.core.spec import BackboneSpec, DatasetSpec, content_hash
from bench.storage.files import read_document, room_for, write_document
from bench.storage.places import used

VERSION = 1
MEASURES_VERSION = 3
"""Raise it when the measures of `bench.similarity.measure` would come out differently than before."""


@dataclass(frozen=True)
class MeasuresKey:
    """What decides the measures of one dataset at one size on one backbone."""

    dataset: DatasetSpec
    n_per_class: Any
    backbone: BackboneSpec
    seed: int
    image_size: int | None

    def path(self, cache: Path) -> Path:
        content = ["measures", MEASURES_VERSION, {**asdict(self), "backbone": self.backbone.decisive()}]
        return cache / "similarity" / f"{content_hash(content)}.json"


def path_of(dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, cache: Path) -> Path:
    content = [VERSION, asdict(dataset), backbone.decisive(), image_size]
    return cache / "similarity" / f"{content_hash(content)}.json"


def read(dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, cache: Path) -> float | None:
    """The Fréchet distance measured earlier, or None."""
    found = read_document(used(path_of(dataset, backbone, image_size, cache)))
    return float(found["frechet_stem"]) if found else None


def write(
    distance: float, dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, cache: Path
) -> None:
    content = {"frechet_stem": distance, "dataset": dataset.name, "backbone": backbone.name}
    _write(content, path_of(dataset, backbone, image_size, cache))


def read_measures(key: MeasuresKey, cache: Path) -> dict[str, Any] | None:
    """images, classes, values and missing as measured earlier (see `bench.similarity.measures.Measured`), or None."""
    return read_document(used(key.path(cache)))


def write_measures(found: dict[str, Any], key: MeasuresKey, cache: Path) -> None:
    _write(found, key.path(cache))


def _write(content: dict[str, Any], path: Path) -> None:
    with room_for("measured similarities", path.parent):
        write_document(used(path), content)

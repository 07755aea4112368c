"""Measured similarities, kept in the cache so that planning can read them without torch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from bench.spec import BackboneSpec, DatasetSpec, content_hash

VERSION = 1


def path_of(dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, cache: Path) -> Path:
    content = [VERSION, asdict(dataset), asdict(replace(backbone, label="")), image_size]
    return cache / "similarity" / f"{content_hash(content)}.json"


def read(dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, cache: Path) -> float | None:
    """The Fréchet distance measured earlier, or None."""
    path = path_of(dataset, backbone, image_size, cache)
    return float(json.loads(path.read_text())["frechet_stem"]) if path.exists() else None


def write(
    distance: float, dataset: DatasetSpec, backbone: BackboneSpec, image_size: int | None, cache: Path
) -> None:
    """Written aside and renamed: a reader sees all of it or nothing."""
    path = path_of(dataset, backbone, image_size, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(
        json.dumps({"frechet_stem": distance, "dataset": dataset.name, "backbone": backbone.name})
    )
    os.replace(aside, path)

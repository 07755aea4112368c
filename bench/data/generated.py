"""The datasets without download: synthetic ones and scikit-learn's digits. No download. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.family import Chunk, DatasetInfo, Family, Request, Resolution, Stream
from bench.data.options import Option
from bench.data.synthetic.recipe import ALIENS, Recipe

RENDERER_VERSION = 1
"""Raise it when a dataset would be rendered differently than before."""


def _counts(pool: int, test: int) -> dict[str, Option]:
    return {
        "draw": Option(int, 0, "which draw of the class prototypes", low=0),
        "pool_per_class": Option(int, pool, "images per class to train and validate on", low=1),
        "test_per_class": Option(int, test, "test images per class", low=1),
    }


_BLEND = {
    "similarity": Option(float, 0.5, "1: as the source, 0: alien, between: blended per image", low=0, high=1),
    "alien": Option(str, "spectro", "the family that is blended in", choices=ALIENS),
}


class Synthetic(Family):
    """One synthetic dataset (see `bench.data.render`)."""

    def __init__(self, name: str, summary: str, recipe: Recipe, options: dict[str, Option]) -> None:
        self.name = self.prefix = name
        self.summary, self.options = summary, options
        self._recipe = recipe

    def recipe(self, request: Request) -> Recipe:
        chosen = {k: request.options[k] for k in ("similarity", "alien", "draw") if k in request.options}
        return replace(self._recipe, **chosen)

    def inspect(self, request: Request) -> DatasetInfo:
        k, per_class = self._recipe.num_classes, request.options["pool_per_class"]
        return DatasetInfo(self._classes(), [per_class] * k, k * request.options["test_per_class"])

    def fingerprint(self, request: Request, resolution: Resolution) -> dict[str, Any]:
        return {
            "version": RENDERER_VERSION,
            "recipe": vars(self.recipe(request)),
            "options": request.options,
            "size": resolution.size,
        }

    def open(self, request: Request, resolution: Resolution, cache: Path) -> Stream:
        def read(split: str) -> Iterator[Chunk]:
            from bench.data.render import render

            n = 0
            per_class = request.options[f"{split}_per_class"]
            for x, y in render(self.recipe(request), split, per_class, resolution.size):
                yield Chunk([f"{split} image {n + i}" for i in range(len(y))], y.tolist(), x.numpy())
                n += len(y)

        return Stream(self._classes(), read("test"), read("pool"))

    def _classes(self) -> list[str]:
        return [f"class {k:02d}" for k in range(self._recipe.num_classes)]


SYNTHETIC: list[Family] = [
    Synthetic(
        "synthetic/source",
        "40 classes of textured objects, to pretrain on",
        Recipe(key=1, num_classes=40, similarity=1.0),
        _counts(pool=500, test=50),
    ),
    Synthetic(
        "synthetic/similar",
        "10 new classes of the source's family of objects",
        Recipe(key=2, num_classes=10, similarity=1.0),
        _counts(pool=1000, test=100),
    ),
    Synthetic(
        "synthetic/fine",
        "10 classes of the source's family that look alike: similar and harder",
        Recipe(key=2, num_classes=10, similarity=1.0, spread=0.5),
        _counts(pool=1000, test=100),
    ),
    Synthetic(
        "synthetic/glyph",
        "10 classes of grey strokes on black: dissimilar to the source",
        Recipe(key=3, num_classes=10, similarity=0.0),
        _counts(pool=1000, test=100),
    ),
    Synthetic(
        "synthetic/blend",
        "10 classes, the source's family blended with an alien one: similarity as a hyperparameter",
        Recipe(key=4, num_classes=10, similarity=0.5),
        {**_BLEND, **_counts(pool=1000, test=100)},
    ),
]


class Digits(Family):
    """scikit-learn's handwritten digits, 8 x 8 pixels, scaled up."""

    name = prefix = "sklearn/digits"
    summary = "1,797 handwritten digits of 8 x 8 pixels, real and embedded: dissimilar to photographs"
    options: dict[str, Option] = {}

    def inspect(self, request: Request) -> DatasetInfo:
        from bench.data.digits import CLASS_COUNTS, TEST_COUNT, pool_counts

        return DatasetInfo([str(k) for k in range(len(CLASS_COUNTS))], pool_counts(), TEST_COUNT)

    def fingerprint(self, request: Request, resolution: Resolution) -> dict[str, Any]:
        return {"version": 1, "size": resolution.size}

    def open(self, request: Request, resolution: Resolution, cache: Path) -> Stream:
        from bench.data.digits import read

        pool, test = read(resolution.size)
        return Stream([str(k) for k in range(10)], [test], [pool])

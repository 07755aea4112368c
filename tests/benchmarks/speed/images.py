"""A folder of JPEGs that every side reads: ten classes of the synthetic datasets, so that nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import psutil
import torch
from PIL import Image

from bench.data.generated import WORLDS
from bench.data.images import ImageSet
from bench.data.render import make
from bench.storage.arrays import locked, staged
from bench.storage.places import cache_dir

CLASSES, SIDE, QUALITY = 10, 160, 90
TEST = 500
_WORLD = "synthetic/similar"


def folder(images: int = 2000) -> Path:
    """ROOT/train/<class> with `images` JPEGs in all, ROOT/test/<class> with 500; written once.

    A smaller folder holds the first images of the larger ones.
    """
    target = home() / f"jpeg-{SIDE}-{images}"
    with locked(home() / ".locks" / target.name):
        if not target.exists():
            with staged(target) as fresh:
                for split, n in (("train", images), ("test", TEST)):
                    for path, picture in _pictures(split, n // CLASSES):
                        (fresh / path).parent.mkdir(parents=True, exist_ok=True)
                        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(fresh / path, quality=QUALITY)
    return target


def home() -> Path:
    """Where the benchmarks keep what they make once: in BENCH_CACHE."""
    path = cache_dir() / "speed"
    path.mkdir(parents=True, exist_ok=True)
    return path


@lru_cache(maxsize=1)
def pixels(split: str, per_class: int) -> ImageSet:
    recipe = next(world for world in WORLDS if world.name == _WORLD)._recipe
    return make(recipe, "pool" if split == "train" else "test", per_class, SIDE)


def _pictures(split: str, per_class: int) -> Iterator[tuple[Path, torch.Tensor]]:
    images = pixels(split, 200 if split == "train" else TEST // CLASSES)
    for k in range(CLASSES):
        for number, index in enumerate((images.y == k).nonzero()[:per_class, 0].tolist()):
            yield Path(split, f"class{k:02d}", f"{number:05d}.jpg"), images.x[index]


def one_core() -> None:
    """This process on one core, the idlest of the moment, with one thread: no side gains by doing something
    beside."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        busy = psutil.cpu_percent(0.5, percpu=True)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0), key=lambda core: busy[core])})

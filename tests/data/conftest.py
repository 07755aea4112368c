"""Small trees of images for the tests of the data part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.support.image_samples import random_image

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """tree({"cat": 3}, under="train") writes that many different PNGs per class and returns the root."""
    written = 0

    def write(classes: dict[str, int], under: str = ".") -> Path:
        nonlocal written
        for name, count in classes.items():
            folder = tmp_path / "images" / under / name
            folder.mkdir(parents=True)
            for i in range(count):
                written += 1
                random_image(written).save(folder / f"{i}.png")
        return tmp_path / "images"

    return write


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors on a busy machine: threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

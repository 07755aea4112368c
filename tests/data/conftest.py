"""Small trees of images for the tests of the data part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[..., Path]


def random_image(seed: int, width: int = 12, height: int = 10) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """tree({"cat": 3, "dog": 2}, under="train") writes that many different PNGs per class; returns the root."""
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


@pytest.fixture
def shared() -> Path:
    """The real images beside the repository, where this machine has them."""
    path = Path(__file__).parents[3] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"real images are not on this machine ({path})")
    return path

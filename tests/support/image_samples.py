"""Images for tests."""

from __future__ import annotations

import numpy as np
from PIL import Image


def random_image(seed: int, width: int = 12, height: int = 10) -> Image.Image:
    """Noise in colour; another seed is another image."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))

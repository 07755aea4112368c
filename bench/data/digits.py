"""scikit-learn's digits as colour images, in one fixed stratified split. Imports happen on reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.family import Chunk

if TYPE_CHECKING:
    import numpy as np

CLASS_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
POOL_COUNT = 1000
TEST_COUNT = sum(CLASS_COUNTS) - POOL_COUNT

_SEED = 1797  # of the split, the same for every run
_WHITE = 16  # the data's largest grey value


def pool_counts() -> list[int]:
    """Images of each class in the pool: POOL_COUNT in proportion, largest remainders rounded up."""
    shares = [POOL_COUNT * n / sum(CLASS_COUNTS) for n in CLASS_COUNTS]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda k: counts[k] - shares[k])
    for k in by_remainder[: POOL_COUNT - sum(counts)]:
        counts[k] += 1
    return counts


def read(size: int) -> tuple[Chunk, Chunk]:
    """Pool and test at `size` pixels."""
    import numpy as np
    from sklearn.datasets import load_digits

    from bench.data.splits import permutation

    data = load_digits()
    images = _scaled_up(data.images, size)
    order = [np.flatnonzero(data.target == k) for k in range(len(CLASS_COUNTS))]
    order = [members[permutation(len(members), _SEED, k)] for k, members in enumerate(order)]
    pool = np.sort(np.concatenate([members[:n] for members, n in zip(order, pool_counts(), strict=True)]))
    test = np.setdiff1d(np.arange(len(images)), pool)
    pool_chunk, test_chunk = (
        Chunk([f"digit {i}" for i in part], data.target[part].tolist(), images[part]) for part in (pool, test)
    )
    return pool_chunk, test_chunk


def _scaled_up(images: np.ndarray, size: int) -> np.ndarray:
    """[N, 8, 8] greys of 0 to 16 -> uint8 [N, 3, size, size]."""
    import torch
    from torch.nn.functional import interpolate

    grey = torch.as_tensor(images, dtype=torch.float32)[:, None] / _WHITE
    grey = interpolate(grey, size=(size, size), mode="bicubic", align_corners=False)
    grey = grey.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return grey.expand(-1, 3, -1, -1).contiguous().numpy()

"""Seeds derived from a run's seed and a purpose, so that strategies are paired: same heads, same order, same crops."""

from __future__ import annotations

import hashlib


def derive(seed: int, purpose: str) -> int:
    """An independent 63-bit seed for (seed, purpose), stable across versions and machines."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

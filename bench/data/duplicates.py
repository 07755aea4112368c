"""Equal images, found by their decoded pixels: no test image is trained on, no image counts twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from bench.data.family import Chunk

EXAMPLES = 3  # names given in a remark


@dataclass
class _Group:
    """Images excluded for one reason."""

    count: int = 0
    relabelled: int = 0  # of these, how many have another class than the image they repeat
    plain: int = 0  # of these, how many are of one colour throughout
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, relabelled: bool, plain: bool) -> None:
        self.count += 1
        self.relabelled += relabelled
        self.plain += plain
        if len(self.examples) < EXAMPLES:
            self.examples.append(name)

    def note(self, what: str) -> str:
        dots = ", ..." if self.count > len(self.examples) else ""
        under = f", {self.relabelled} of them under another class" if self.relabelled else ""
        plain = f", {self.plain} of them of a single colour (all black, say)" if self.plain else ""
        return f"{what}: {self.count}{under}{plain} ({', '.join(self.examples)}{dots})"


class Seen:
    """Remembers every image of a dataset. Show it the test set first, then the pool."""

    def __init__(self) -> None:
        self._test: dict[bytes, int] = {}  # digest -> label
        self._pool: dict[bytes, int] = {}
        self._within_test, self._leaked, self._repeated = _Group(), _Group(), _Group()

    def test(self, chunk: Chunk) -> np.ndarray:
        """[b] bool, which images to keep: all, for a test set is given."""
        for name, label, digest, plain in _digests(chunk):
            if digest in self._test:
                self._within_test.add(name, self._test[digest] != label, plain)
            self._test.setdefault(digest, label)
        return np.ones(len(chunk.labels), dtype=bool)

    def pool(self, chunk: Chunk) -> np.ndarray:
        """[b] bool, which images to keep: those neither in the test set nor seen in the pool before."""
        return np.array([self._keep(*entry) for entry in _digests(chunk)], dtype=bool)

    def notes(self) -> list[str]:
        """What was found, for people."""
        found = [
            (self._leaked, "images also in the test set, excluded from training"),
            (self._repeated, "images that repeat a training image, excluded"),
            (self._within_test, "test images that repeat a test image, kept"),
        ]
        return [group.note(what) for group, what in found if group.count]

    def _keep(self, name: str, label: int, digest: bytes, plain: bool) -> bool:
        for earlier, group in ((self._test, self._leaked), (self._pool, self._repeated)):
            if digest in earlier:
                group.add(name, earlier[digest] != label, plain)
                return False
        self._pool[digest] = label
        return True


def _digests(chunk: Chunk) -> list[tuple[str, int, bytes, bool]]:
    """Name, label, digest of the pixels, and whether they all have one colour."""
    return [
        (
            name,
            label,
            hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest(),
            _plain(image),
        )
        for name, label, image in zip(chunk.names, chunk.labels, chunk.images, strict=True)
    ]


def _plain(image: np.ndarray) -> bool:
    return bool((image == image[:, :1, :1]).all())

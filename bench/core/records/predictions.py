"""What a finished run says of each test image, `predictions.npz` among its artifacts.

Logarithms, not probabilities: float16 has no number between .9995 and 1, and none below 6e-8, so that a likelihood could
not be computed from probabilities; their logarithms keep both ends, to a thousandth of each.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np

LARGEST = 2**28
"""Bytes, unpacked, that a file may have to be read: what a foreign store holds is not to fill the memory."""

LOWEST = float(np.finfo(np.float16).min)

ARRAYS = {
    "label": "u",
    "predicted": "u",
    "log_probability": "f",
    "label_log_probability": "f",
}
"""Name in the file -> kind of numbers."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of the N test images of a dataset, in the order of its test set, which is the same for every run on it.

    Attributes:
        test_set: Digest of the dataset and its test labels: those of two runs can be paired where it is equal.
        label: [N] number of the class, as `predicted`, in the order of the dataset's class names.
        predicted: [N] the class with the highest probability.
        log_probability: [N] float16, natural logarithm of the probability of `predicted`.
        label_log_probability: [N] float16, the same of `label`.
    """

    test_set: str
    label: np.ndarray
    predicted: np.ndarray
    log_probability: np.ndarray
    label_log_probability: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.label)

    def __repr__(self) -> str:
        return f"Predictions({len(self)} images, accuracy {self.right.mean():.3f}, test set {self.test_set})"

    @property
    def right(self) -> np.ndarray:
        """[N] bool: is the label predicted?"""
        same: np.ndarray = self.label == self.predicted
        return same

    @property
    def probability(self) -> np.ndarray:
        """[N] float64, of the predicted class."""
        return np.exp(self.log_probability.astype(np.float64))

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood of the labels, in nats."""
        return -float(self.label_log_probability.astype(np.float64).mean())

    @classmethod
    def of(
        cls,
        test_set: str,
        classes: int,
        label: np.ndarray,
        predicted: np.ndarray,
        log_probability: np.ndarray,
        label_log_probability: np.ndarray,
    ) -> Self:
        """In the smallest integers that hold so many classes, and in float16."""
        whole = np.min_scalar_type(max(classes - 1, 0))
        logs = (
            np.maximum(values, LOWEST).astype(np.float16)
            for values in (log_probability, label_log_probability)
        )
        return cls(test_set, label.astype(whole), predicted.astype(whole), *logs)

    def to_bytes(self) -> bytes:
        """The file."""
        file = io.BytesIO()
        arrays = {name: getattr(self, name) for name in ARRAYS}
        np.savez_compressed(file, test_set=np.array(self.test_set), **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` made. Raises `ValueError` for anything else; nothing in it is run."""
        try:
            found = _arrays(content)
            test_set = str(found.pop("test_set"))
            made = cls(test_set, **found)
        except (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"no file of predictions: {error}") from error
        shapes = {getattr(made, name).shape for name in ARRAYS}
        kinds = {name: getattr(made, name).dtype.kind for name in ARRAYS}
        if kinds != ARRAYS or len(shapes) != 1 or len(*shapes) != 1:
            raise ValueError("no file of predictions: its arrays are of another type or length")
        return made


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST:
        raise ValueError(f"no file of predictions: {size} bytes unpacked, more than {LARGEST}")
    with np.load(io.BytesIO(content)) as file:  # which refuses pickles, unless it is told otherwise
        return {name: file[name] for name in ("test_set", *ARRAYS)}

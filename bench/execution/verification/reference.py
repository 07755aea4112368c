"""The reference: a file of distributions, one per network, strategy and metric."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bench.core.errors import UserError
from bench.core.metrics import Metric
from bench.storage.files import write_text

FOLDER = Path(__file__).parent
STUDY, FILE = FOLDER / "study.yaml", FOLDER / "reference.json"

METRICS = (Metric.TEST_ACCURACY, Metric.TEST_NLL)
"""The second tells of a changed rate where the first, a count of few hundred images, does not."""

Key = tuple[str, str, str]
"""Network, strategy, metric."""


@dataclass(frozen=True)
class Distribution:
    """Of one metric over seeds; sd with n - 1."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Distribution:
        """Of two values at least."""
        return cls(fmean(values), stdev(values), len(values))


@dataclass(frozen=True)
class Reference:
    """Attributes:
    study: Digest of the study file it is of.
    versions: Of the packages it was made with, by name.
    """

    study: str
    versions: Mapping[str, str]
    values: Mapping[Key, Distribution]

    def save(self, path: Path) -> None:
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for (network, strategy, metric), one in self.values.items():
            found.setdefault(network, {}).setdefault(strategy, {})[metric] = asdict(one)
        content = {"study": self.study, "versions": dict(self.versions), "values": found}
        write_text(path, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path = FILE) -> Reference:
        """Raises `UserError` for a file that is none, or is of another study file than the package's."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            values = {key: Distribution(**one) for key, one in _flat(content["values"])}
            found = cls(content["study"], content["versions"], values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: no reference of `bench verify`: {error}") from error
        if found.study != digest():
            raise UserError(f"{path} is of another study than {STUDY}: write it anew (--write-reference)")
        return found


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    for network, strategies in content.items():
        for strategy, metrics in strategies.items():
            for metric, one in metrics.items():
                yield (network, strategy, metric), one


def digest() -> str:
    """Of the study file's bytes."""
    return hashlib.sha256(STUDY.read_bytes()).hexdigest()[:16]

"""Looks at a study's verdicts: how they are planned, and the ledger in which the store keeps those that were taken."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from bench.core.spec import content_hash


@dataclass(frozen=True)
class RaceRecord:
    """Seeds until decided: after each look, decided cells and strategies shown not to be better get no more seeds.

    Attributes:
        looks: Seeds after which is looked, increasing; the last is the most there will be.
        hours: No seeds are added once the study's runs have taken so long, in hours of one worker; None: no limit.
    """

    looks: tuple[int, ...]
    hours: float | None = None

    @property
    def at_most(self) -> int:
        return self.looks[-1]


@dataclass(frozen=True)
class LookRecord:
    """One look at a cell of the matrix that gave a verdict, and so has used a part of its error rate.

    Attributes:
        cell: "similar-small", ...
        data: Digest of what was run: datasets, sizes, backbones and training settings of the cell.
        question: Digest of what was asked of it: the rule's pick, the alternatives and the margin.
        seeds: Those that were looked at.
        level: One-sided level of its tests.
        verdict: What was said.
        dropped: Labels of the alternatives that were shown not to be better by the margin at this look.
        without: First 8 characters of the ids of the planned runs that had failed when it was taken.
        when: UTC, ISO 8601.
    """

    cell: str
    data: str
    question: str
    seeds: tuple[int, ...]
    level: float
    verdict: str
    dropped: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    when: str = ""

    @property
    def key(self) -> str:
        """The same for the same look, whoever takes it."""
        return content_hash([self.cell, self.data, self.question, list(self.seeds)])

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> LookRecord:
        """Raises `KeyError`, `TypeError` or `ValueError` for what is no look."""
        content: dict[str, Any] = json.loads(text)
        return cls(**content | {k: tuple(content[k]) for k in ("seeds", "dropped", "without")})

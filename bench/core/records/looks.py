"""Looks at a study's verdicts: how they are planned, and the ledger in which the store keeps those that were taken."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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

    Short enough for one MLflow tag of 5,000 characters with 700 alternatives.

    Attributes:
        cell: "similar-small", ...
        rule: Label of the rule's pick.
        margin: Of equivalence, a fraction.
        alternatives: Digests of their labels, `SHORT` characters each, joined.
        runs: Digest of the runs that were looked at, by strategy.
        seeds: Theirs.
        planned: Seeds of the last look, as it was planned then.
        level: One-sided level of its tests.
        verdict: What was said.
        without: First 8 characters of the ids of the planned runs that had failed, and were done without.
        when: UTC, ISO 8601.
    """

    cell: str
    rule: str
    margin: float
    alternatives: str
    runs: str
    seeds: tuple[int, ...]
    planned: int
    level: float
    verdict: str = ""
    without: tuple[str, ...] = ()
    when: str = ""

    @property
    def key(self) -> str:
        """The same for the same look, whoever takes it."""
        return content_hash([self.cell, self.rule, self.margin, self.runs, list(self.seeds)])

    @property
    def asked(self) -> set[str]:
        """Digests of the alternatives' labels."""
        return parts(self.alternatives)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> LookRecord:
        """Raises `KeyError`, `TypeError` or `ValueError` for what is no look."""
        content: dict[str, Any] = json.loads(text)
        return cls(**content | {k: tuple(content[k]) for k in ("seeds", "without")})


@dataclass(frozen=True)
class Ledger:
    """What the store holds of earlier looks. planned: the most seeds that were planned when estimates were shown."""

    looks: Sequence[LookRecord] = ()
    planned: int = 0

    def of(self, cell: str) -> list[LookRecord]:
        return [record for record in self.looks if record.cell == cell]


SHORT = 6


def digests(labels: Iterable[str]) -> str:
    """Of the labels of alternatives, in whatever order."""
    return "".join(sorted(content_hash(label, SHORT) for label in labels))


def parts(joined: str) -> set[str]:
    """The digests in what `digests` has joined."""
    return {joined[i : i + SHORT] for i in range(0, len(joined), SHORT)}

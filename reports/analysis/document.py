"""Look-ups in a study document: which of its strategies is which."""

from __future__ import annotations

from bench.core.records.study import StudyRecord


def plainest(document: StudyRecord, freeze: str) -> str | None:
    """Label of the strategy with that freezing schedule and the least besides."""
    found = [s for s in document.strategies if s.freeze.name == freeze]
    plain = sorted(found, key=lambda s: len(s.lr) + len(s.regularize))
    return plain[0].label if plain else None


def scratch_label(document: StudyRecord) -> str | None:
    """The strategy that starts from random weights, if the study has one: negative transfer is told by it."""
    labels = [s.label for s in document.strategies if s.freeze.name == "scratch"]
    return "scratch" if "scratch" in labels else next(iter(labels), None)

"""Look-ups in a study document: which of its strategies is which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plainest(document: Mapping[str, Any], freeze: str) -> str | None:
    """Label of the strategy with that freezing schedule and the least besides."""
    found = [s for s in document["strategies"] if (s.get("freeze") or {}).get("name") == freeze]
    plain = sorted(found, key=lambda s: len(s.get("lr") or []) + len(s.get("regularize") or []))
    return plain[0]["label"] if plain else None


def scratch_label(document: Mapping[str, Any]) -> str | None:
    """The strategy that starts from random weights, if the study has one: negative transfer is told by it."""
    labels = [s["label"] for s in document["strategies"] if (s.get("freeze") or {}).get("name") == "scratch"]
    return "scratch" if "scratch" in labels else next(iter(labels), None)

"""What evidence there is, as rows: a dataset at so many images per class on a network, and who was tried there."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from bench.advice.gathering import Studied
from reports.analysis.evidence import Condition


def listing(sources: Iterable[Studied | str]) -> list[dict[str, Any]]:
    """A row each, as plain data; accuracies are fractions, means over seeds, of tuned runs where there are any."""
    return [
        _row(condition, source.origin)
        for source in sources
        if isinstance(source, Studied)
        for condition in source.conditions
    ]


def _row(condition: Condition, origin: str) -> dict[str, Any]:
    accuracies = {strategy: condition.accuracy(strategy) for strategy in condition.accuracies}
    return {
        "origin": origin,
        "study": condition.study,
        "dataset": condition.label,
        "n_per_class": condition.place.n_per_class,
        "backbone": condition.place.backbone,
        "similar": condition.place.similar,
        "classes": condition.place.classes,
        "runs": condition.runs,
        "strategies": dict(sorted(accuracies.items(), key=lambda item: -item[1])),
    }


def by_dataset(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per study, dataset and network, for people."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["origin"], row["study"], row["dataset"], row["backbone"])
        groups.setdefault(key, []).append(row)
    return [
        {
            "from": origin,
            "study": study,
            "dataset": dataset,
            "network": backbone,
            "images per class": ", ".join(f"{n:g}" for n in sorted(row["n_per_class"] for row in own)),
            "strategies": max(len(row["strategies"]) for row in own),
            "runs": sum(row["runs"] for row in own),
        }
        for (origin, study, dataset, backbone), own in groups.items()
    ]


def by_strategy(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """In how many conditions each strategy was tried, and how far it was behind the best there, in points."""
    behind: dict[str, list[float]] = {}
    for row in rows:
        best = max(row["strategies"].values())
        for strategy, accuracy in row["strategies"].items():
            behind.setdefault(strategy, []).append(100 * (best - accuracy))
    return [
        {"strategy": strategy, "conditions": len(own), "mean points behind the best": f"{fmean(own):.1f}"}
        for strategy, own in sorted(behind.items(), key=lambda item: fmean(item[1]))
    ]

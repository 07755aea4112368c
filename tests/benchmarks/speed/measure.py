"""Processor time and wall time of sides that run in turn, and the figures that they make."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

Made = TypeVar("Made")


@dataclass
class Spent:
    """Seconds: of the processor in this process, and on the wall."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self.cpu += time.process_time() - cpu
            self.wall += time.perf_counter() - wall

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.cpu + other.cpu, self.wall + other.wall)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.cpu - other.cpu, self.wall - other.wall)


@dataclass
class Run:
    """One training run: before its first epoch, its epochs, and the accuracy on the test images afterwards."""

    prepare: Spent = field(default_factory=Spent)
    train: Spent = field(default_factory=Spent)
    accuracy: float | None = None

    @property
    def whole(self) -> Spent:
        return self.prepare + self.train


@dataclass(frozen=True)
class Figure:
    """One measured row. goal: the ratio asked for, "at most" where `ceiling`; None where there is none.

    wall: the same ratio in wall time, median. accuracy: means and numbers of runs by side. more: for the
    reader.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    goal: float | None = None
    ceiling: bool = False
    unit: str = "x"
    wall: float | None = None
    accuracy: dict[str, list[float]] = field(default_factory=dict)
    more: str = ""

    @property
    def met(self) -> bool | None:
        if self.goal is None or self.value is None:
            return None
        # to the digits that are shown
        value = round(self.value, 2)
        return value <= self.goal if self.ceiling else value >= self.goal

    def record(self) -> dict[str, Any]:
        return asdict(self)


def alternate(sides: Mapping[str, Callable[[int], Made]], rounds: int) -> dict[str, list[Made]]:
    """side(round) of every side in turn, `rounds` times; the order is reversed in every other round."""
    found: dict[str, list[Made]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            found[name].append(sides[name](number))
    return found


def over(theirs: Sequence[Spent], ours: Sequence[Spent]) -> tuple[list[float], float]:
    """How many times their processor time is ours, by round, and the median of the same on the wall."""
    pairs = list(zip(theirs, ours, strict=True))
    return [t.cpu / o.cpu for t, o in pairs], statistics.median(t.wall / o.wall for t, o in pairs)


def figure(name: str, ratios: Sequence[float], wall: float | None = None, **rest: Any) -> Figure:
    return Figure(
        name, statistics.median(ratios), min(ratios), max(ratios), rounds=len(ratios), wall=wall, **rest
    )


def accuracies(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    found = {name: [run.accuracy for run in done if run.accuracy is not None] for name, done in runs.items()}
    return {name: values for name, values in found.items() if values}

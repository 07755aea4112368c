"""How long the missing runs will take, from the finished ones most like them.

Runs are kept in a tree by what speaks for a run's time, the strongest word last: backbone, images per class, strategy,
dataset. A missing run is expected to take the mean of the finished runs on its branch, as far up the tree as some are.
Sums are kept in every node, so that a finished run costs five additions, whatever the size of the study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.core.records.planned import PlannedRow

BRANCHES = ("backbone", "n_per_class", "strategy", "dataset")


@dataclass
class _Node:
    """finished: runs here and below, with their seconds. missing: those still to come.

    known, known_missing: over the branches with finished runs of their own, the seconds expected and the missing runs;
    the rest of the missing runs are expected to take this node's mean.
    """

    finished: int = 0
    seconds: float = 0.0
    missing: int = 0
    known: float = 0.0
    known_missing: int = 0
    branches: dict[Any, _Node] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return self.seconds / self.finished

    @property
    def expected(self) -> float:
        return self.known + (self.missing - self.known_missing) * self.mean


class Estimator:
    """Mean seconds of a run, learnt from finished ones, and what is left."""

    def __init__(self) -> None:
        self._root = _Node()

    def learn(self, row: PlannedRow, seconds: float) -> None:
        """A run like `row` took so long."""
        self._change(row, 1, seconds, 0)

    def seconds(self, row: PlannedRow) -> float | None:
        """Expected seconds of one run; None while nothing has finished."""
        node = self._root
        for key in BRANCHES:
            branch = node.branches.get(getattr(row, key))
            if branch is None or not branch.finished:
                break
            node = branch
        return node.mean if node.finished else None

    def remaining(self, rows: Iterable[PlannedRow], workers: int) -> float | None:
        """Expected seconds of wall time for `rows` on `workers` workers; None while nothing has finished."""
        expected = [self.seconds(row) for row in rows]
        if any(seconds is None for seconds in expected):
            return None
        return sum(s for s in expected if s is not None) / workers

    def expect(self, row: PlannedRow) -> None:
        """One more run is missing."""
        self._change(row, 0, 0.0, 1)

    def over(self, row: PlannedRow) -> None:
        """A run that was expected is over, with a result to learn from or without."""
        self._change(row, 0, 0.0, -1)

    def left(self, workers: int) -> float | None:
        """`remaining` of the runs that are expected and not over, without looking at each: asked after every run."""
        if not self._root.missing:
            return 0.0
        return max(0.0, self._root.expected) / workers if self._root.finished else None

    def _change(self, row: PlannedRow, finished: int, seconds: float, missing: int) -> None:
        path = list(self._path(row))
        before = [(node.expected, node.missing) if node.finished else (0.0, 0) for node in path]
        for node in path:
            node.finished += finished
            node.seconds += seconds
            node.missing += missing
        for above, node, (expected, count) in reversed([*zip(path, path[1:], before[1:], strict=False)]):
            if node.finished:
                above.known += node.expected - expected
                above.known_missing += node.missing - count

    def _path(self, row: PlannedRow) -> Iterator[_Node]:
        """The nodes from the root to the run's leaf."""
        node = self._root
        yield node
        for key in BRANCHES:
            node = node.branches.setdefault(getattr(row, key), _Node())
            yield node


def words(seconds: float | None) -> str:
    """ "about 2 min", in the coarsest unit that still says something."""
    if seconds is None:
        return "unknown: no run of this study has finished yet"
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"

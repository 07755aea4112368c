"""Where the time of a run goes: marks around its parts, which cost nothing unless somebody measures."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.models.model import Model

_NOTHING = nullcontext()

STEP = "optimiser"
"""The part that every training step has once, at its end."""


class Parts:
    """What a run is given unless somebody measures: its marks do nothing."""

    def __call__(self, name: str) -> AbstractContextManager[object]:
        """Around a part of the run's work. Within another part it is taken out of that."""
        return _NOTHING

    def phase_over(self, model: Model, images: int, skipped: Callable[[], str]) -> None:
        """A phase is done, and the network still is as its steps had it. images: trained on in this run so far.

        skipped: what of the network its steps did not run, as `step_flops` takes it.
        """


SILENT = Parts()


class Timed(Parts):
    """Seconds by part, wall clock. Every moment within a part counts for the innermost one, so that sums hold.

    synchronize: waits for the device, so that its work counts where it was asked for; with that, what would overlap
    does not, and a run takes a little longer.
    """

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.seconds: dict[tuple[str, ...], float] = {}  # by the parts that were open, outermost first
        self.steps = 0  # those of preparations too
        self._synchronize = synchronize
        self._open: tuple[str, ...] = ()
        self._since = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._lap()
        before, self._open = self._open, (*self._open, name)
        try:
            yield
        finally:
            self._lap()
            self._open = before
            self.steps += name == STEP

    def _lap(self) -> None:
        """What was done since the last mark was part of what is open."""
        self._synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open] = self.seconds.get(self._open, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around what is no part of the run."""
        self._lap()
        try:
            yield
        finally:
            self._synchronize()
            self._since = time.perf_counter()

    def within(self, *outermost: str) -> defaultdict[str, float]:
        """Seconds by innermost part, of all that lay within these; 0 of what never was."""
        found: defaultdict[str, float] = defaultdict(float)
        for path, seconds in self.seconds.items():
            if path[: len(outermost)] == outermost:
                found[path[-1]] += seconds
        return found

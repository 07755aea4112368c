"""What the driver tells whoever watches: the console, or a test."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bench.core.jobs import Event
from bench.core.records.results import Result


class Display(Protocol):
    def say(self, message: str) -> None:
        """One line (or table) that stays."""
        ...

    def progress(self, title: str, total: int) -> AbstractContextManager[object]:
        """`total` jobs are about to run under this title."""
        ...

    def event(self, event: Event) -> None: ...

    def finished(self, name: str, result: Result, remaining: float | None) -> None:
        """A run is over; `remaining` seconds are expected for the rest of the study."""
        ...

"""Displays for tests: one that shows nothing, and one that remembers."""

from __future__ import annotations

from contextlib import nullcontext


class Quiet:
    """A display that shows nothing."""

    def say(self, message: str) -> None: ...

    def progress(self, title: str, total: int) -> nullcontext[None]:
        return nullcontext()

    def event(self, event: object) -> None: ...

    def finished(self, name: str, result: object, remaining: object) -> None: ...


class Says(Quiet):
    """A display that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

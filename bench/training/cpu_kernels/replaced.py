"""A function of torch's that another stands in for, while a network trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

Function = Callable[..., Any]


class Replaced:
    """`owner.name` is `instead(former)` while anyone in this process is within; then what was there comes back."""

    def __init__(self, owner: object, name: str, instead: Callable[[Function], Function]) -> None:
        self.owner, self.name, self.instead = owner, name, instead
        self._lock, self._within = Lock(), 0
        self._former: Function | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._within:
                self._former = getattr(self.owner, self.name)
                setattr(self.owner, self.name, self.instead(self._former))
            self._within += 1
        try:
            yield
        finally:
            with self._lock:
                self._within -= 1
                if not self._within:
                    setattr(self.owner, self.name, self._former)

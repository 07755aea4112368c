"""Waiting for a store that is away for a while: a server that restarts, a network that drops, a database that is locked.

Nothing waits unless patience was granted: before a study begins, a store that cannot be reached is an error at once;
once it runs, jobs and driver wait for it. What is worth another try: `bench.tracking.store.transient`.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from bench.core.errors import StoreAway, UserError
from bench.core.secrets import redacted
from bench.tracking.store.transient import chain, transient

VARIABLE = "BENCH_STORE_PATIENCE"
"""Environment variable: seconds that a store may be away before what waits for it gives up."""

SECONDS = 600.0
"""Its default: a restart, an upgrade, a machine that boots."""

FIRST, LONGEST = 0.25, 10.0
"""Pauses between tries, in seconds: each twice the one before, less a random part so that not all come back at once."""

UNNOTICED = 2.0
"""Seconds that a store may be away before the user is told."""

STOPPING = 5.0
"""Patience, in seconds, of best-effort writes at shutdown, after Ctrl-C: less than a stopped worker is given."""

P = ParamSpec("P")
T = TypeVar("T")
Say = Callable[[str], None]


def granted_seconds() -> float:
    """What the user grants. Raises `UserError` for a value that is no number of seconds."""
    text = os.environ.get(VARIABLE, str(SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UserError(f"{VARIABLE}: {text!r} is no number of seconds")
    return seconds


class Patience:
    """So many seconds for each call, counted from its first failure. `say` tells the user, once for each outage."""

    def __init__(self, seconds: float, say: Say | None = None) -> None:
        self.seconds = seconds
        self.say = say or logging.getLogger("bench").warning
        self._deadline = math.inf
        self._news = threading.Event()

    def limit(self, seconds: float) -> None:
        """From now on no call waits for longer than this, all of them together. Whoever waits tries again at once."""
        self._deadline = time.monotonic() + seconds
        self._news.set()

    def left(self, began: float | None = None) -> float:
        """Seconds that a call which failed first at `began`, or does now, may still wait."""
        now = time.monotonic()
        return min(self._deadline, (now if began is None else began) + self.seconds) - now

    def call(self, function: Callable[[], T]) -> T:
        """`function()`, again until the store answers; it must be such that twice is as good as once.

        Raises what is not worth another try, and `StoreAway` at the end of the patience.
        """
        began = None
        for pause in _pauses():
            try:
                result = function()
            except Exception as error:
                if not transient(error):
                    raise
                began = time.monotonic() if began is None else began
                if self.left(began) <= 0:
                    _outage.forget()
                    away = time.monotonic() - began
                    raise StoreAway(f"the store has been away for {away:.0f} s: {_reason(error)}") from error
                _outage.goes_on(error, self)
                self._news.wait(min(pause, self.left(began)))
                self._news.clear()
            else:
                if began is not None:
                    _outage.is_over(self)
                return result
        raise AssertionError("pauses have no end")


def _pauses() -> Iterator[float]:
    for i in itertools.count():
        yield min(LONGEST, FIRST * 2 ** min(i, 16)) * random.uniform(0.5, 1)


class _Outage:
    """What of an outage the user was told: one line when it begins, one when it is over, however many calls wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = False

    def goes_on(self, error: BaseException, patience: Patience) -> None:
        with self._lock:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            if self._told or now - self._since < UNNOTICED:
                return
            self._told = True
        patience.say(
            f"the store does not answer ({_reason(error)}): training goes on, and what needs the store waits "
            f"up to {min(patience.seconds, granted_seconds()):.0f} s ({VARIABLE})"
        )

    def is_over(self, patience: Patience) -> None:
        with self._lock:
            since, told = self._since, self._told
            self._since, self._told = None, False
        if told and since is not None:
            patience.say(f"the store answers again, after {time.monotonic() - since:.0f} s")

    def forget(self) -> None:
        with self._lock:
            self._since, self._told = None, False


_outage = _Outage()
_granted: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def granted(say: Say | None = None) -> Iterator[None]:
    """Within, calls wait as long as the user grants. `say`: default: whoever is told already, else the log."""
    outer = _granted.get()
    token = _granted.set(Patience(granted_seconds(), say or (outer.say if outer else None)))
    try:
        yield
    finally:
        _granted.reset(token)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Within, all calls together wait no longer than this."""
    outer = _granted.get()
    inner = Patience(seconds, outer.say if outer else None)
    inner.limit(seconds)
    token = _granted.set(inner)
    try:
        yield
    finally:
        _granted.reset(token)


@contextmanager
def best_effort() -> Iterator[None]:
    """Within, writes at shutdown: the store is tried for a moment, and where it is away, they are dropped."""
    with limited(STOPPING), suppress(StoreAway):
        yield


@contextmanager
def withheld() -> Iterator[None]:
    """Within, nothing waits."""
    token = _granted.set(None)
    try:
        yield
    finally:
        _granted.reset(token)


def left() -> float:
    """Seconds that a call which fails now would wait; 0 where no patience was granted."""
    now = _granted.get()
    return now.left() if now else 0.0


def unlimited() -> Patience:
    """For what nobody waits for, until somebody does and sets a limit."""
    outer = _granted.get()
    return Patience(math.inf, outer.say if outer else None)


def patiently(function: Callable[[], T]) -> T:
    """`function()`, with as much patience as was granted: `Patience.call`."""
    now = _granted.get()
    return now.call(function) if now else function()


def patient(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, called patiently; it must be such that twice is as good as once."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        return patiently(lambda: function(*args, **kwargs))

    return called


def _reason(error: BaseException) -> str:
    """The first of the chain, in one line."""
    first = list(chain(error))[-1]
    line = (str(first).strip().splitlines() or [""])[0]
    return redacted(f"{type(first).__name__}: {line}" if line else type(first).__name__)[:300]

"""What can go wrong, in types. A `UserError` is the user's input: shown as one message, exit code 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """The input is wrong. The message says where (file and field or line), the value, and what would be right."""


class NeedsWeights(UserError):
    """These weights do not allow it; others of the same network may."""


class StoreAway(UserError):
    """A store was away for longer than anybody waits (`bench.tracking.store.patience`).

    What had come to its end before is kept.
    """


class CutShort(Exception):
    """Training ended before its time. `samples_seen`: images it had seen by then."""

    samples_seen: int = 0


class Diverged(CutShort):
    """The training loss stopped being finite. The run is counted as diverged, the study goes on."""


class Pruned(CutShort):
    """The pruner of a search gave a trial up."""


def shown(name: object) -> str:
    """The name of a file as it can be shown on one line: control characters, and bytes that are no text, as escapes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", _escape, str(name))


def shortened(value: object, length: int = 60) -> str:
    """`repr(value)`, its middle left out where it is long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 10]}...{text[-7:]}"


def one_line_each(message: str) -> str:
    """A message as `shown`, its line breaks kept."""
    return "\n".join(shown(line) for line in message.split("\n"))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


_SEVERAL = re.compile(r"\d+ things are wrong:\n- ")


def all_of(messages: Iterable[str]) -> str:
    """One message of several, each in it once. What is itself made of several is taken apart."""
    parts: list[str] = []
    for message in messages:
        several = _SEVERAL.match(message)
        parts += message[several.end() :].split("\n- ") if several else [message]
    distinct = list(dict.fromkeys(parts))
    if len(distinct) == 1:
        return distinct[0]
    return "\n- ".join([f"{len(distinct)} things are wrong:", *distinct])


def last_line(crash: str) -> str:
    """Of a traceback, what was raised; of a cause of death, all of it."""
    return (crash.strip().splitlines() or ["it failed without a word"])[-1].strip()


def nearest(value: str, valid: Iterable[str], n: int = 3) -> str:
    """`; did you mean a, b?` for the names closest to `value`, else the valid names if they are few, else ''."""
    valid = sorted(set(valid))
    close = difflib.get_close_matches(value, valid, n=n, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known: {', '.join(valid)}" if 0 < len(valid) <= 12 else ""

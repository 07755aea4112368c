"""What can go wrong, in types. A `UserError` is the user's input: shown as one message, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The input is wrong. The message says where (file and field or line), the value, and what would be right."""


class CutShort(Exception):
    """Training ended before its time. `image_steps`: images it had seen by then."""

    image_steps: int = 0


class Diverged(CutShort):
    """The training loss stopped being finite. The run is counted as diverged, the study goes on."""


class Pruned(CutShort):
    """The pruner of a search gave a trial up."""


def nearest(value: str, valid: Iterable[str], n: int = 3) -> str:
    """`; did you mean a, b?` for the names closest to `value`, else the valid names if they are few, else ''."""
    valid = sorted(set(valid))
    close = difflib.get_close_matches(value, valid, n=n, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known: {', '.join(valid)}" if 0 < len(valid) <= 12 else ""

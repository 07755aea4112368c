"""Study files in the words of before: refused in one message that says each of today's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.core.errors import UserError

FIELDS = {"numerics": "precision", "knobs": "hyperparameters"}
"""Key of a mapping, in study files and in stored study documents: then and now."""

PREFIXES = {"world/": "synthetic/"}
"""Beginning of a dataset's name, then and now."""


def refuse(where: str, data: Any) -> None:
    """Raises `UserError` where a study uses a former word as a key or in a dataset's name.

    Args:
        where: the study file, for the message.
        data: the study as plain data, before validation.
    """
    found = list(dict.fromkeys(_found(data)))
    if found:
        raise UserError(f"{where}: written in former words; say {'; '.join(found)}")


def _found(data: Any, key: str = "") -> Iterator[str]:
    if isinstance(data, dict):
        for name, value in data.items():
            if name in FIELDS and key in ("", "train", "source_train"):
                yield f"{FIELDS[name]}: for {name}:"
            yield from _found(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from _found(value, key)
    elif isinstance(data, str) and key in ("name", "source", "datasets"):
        for then, now in PREFIXES.items():
            if data.startswith(then):
                yield f"{now}{data.removeprefix(then)} for {data}"

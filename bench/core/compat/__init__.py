"""What is used of other libraries beyond their documented interface: a module a library, and the versions it is tested with.

Nothing heavy is imported here. `tests/core/test_compat.py` says which part of which library moved, when one has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

Release = tuple[int, int]


def release(text: str) -> Release:
    """Major and minor number of a version: (2, 13) of "2.13.0+cu130"."""
    found = re.match(r"(\d+)\.(\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


@cache
def installed_version(library: str) -> str:
    """Read once: a loop may ask at every epoch."""
    return version(library)


@dataclass(frozen=True)
class VersionRange:
    """Releases of a library that the code was tested with, the first and the last of them included."""

    library: str
    first: str
    last: str

    def covers(self, installed: str | None = None) -> bool:
        """Whether the `installed` version (None: the one that is) lies between them."""
        return (
            release(self.first) <= release(installed or installed_version(self.library)) <= release(self.last)
        )

    def __str__(self) -> str:
        span = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.library} {span}"

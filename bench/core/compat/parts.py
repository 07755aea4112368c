"""A part of a library that we use though it is not of its documented interface, and how to tell that it has moved."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Part:
    """Something in a module of a library.

    Attributes:
        module: As "optuna.storages".
        path: Of the part in it, as "RDBStorage._create_new_trial".
        why: What we use it for, as no documented part does it.
        parameters: Names that it must take, where it is called with them or overridden.
    """

    module: str
    path: str
    why: str
    parameters: tuple[str, ...] = ()

    def moved(self) -> str | None:
        """What is not as we know it, in words; None where all is."""
        name = f"{self.module}.{self.path}"
        try:
            part: Any = reduce(getattr, self.path.split("."), import_module(self.module))
        except (ImportError, AttributeError):
            return f"{name} is not there any more; it was used to {self.why}"
        known = inspect.signature(part).parameters if self.parameters else {}
        if lost := [parameter for parameter in self.parameters if parameter not in known]:
            return f"{name} does not take {', '.join(lost)} any more; it was used to {self.why}"
        return None


def moved(parts: Iterable[Part]) -> list[str]:
    """Those that have moved, in words."""
    return [said for part in parts if (said := part.moved())]

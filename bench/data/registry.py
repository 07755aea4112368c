"""All dataset names: what there is, and what a name stands for. Torch-free, so that planning stays fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.data.external import EXTERNALS
from bench.data.family import DatasetInfo, Family, Request
from bench.data.folder import Folder
from bench.data.generated import WORLDS, Digits
from bench.data.options import resolve
from bench.errors import UserError, nearest
from bench.spec import DatasetSpec

__all__ = ["DatasetInfo", "describe", "find", "inspect"]

FAMILIES: list[Family] = [*WORLDS, Digits(), Folder(), *EXTERNALS]


def describe() -> list[dict[str, Any]]:
    """One dict per family: `name`, `summary`, and `options` (name -> description with default)."""
    return [
        {
            "name": family.name,
            "summary": family.summary,
            "options": {name: option.describe() for name, option in family.options.items()},
        }
        for family in FAMILIES
    ]


def inspect(spec: DatasetSpec, base: Path) -> DatasetInfo:
    """Classes and counts of the dataset, as far as they are known without reading or downloading images.

    base: the folder that a relative `folder:` path starts from. Raises UserError for whatever is wrong with
    the name, the options or the folder.
    """
    family, request = find(spec, base)
    return family.inspect(request)


def find(spec: DatasetSpec, base: Path) -> tuple[Family, Request]:
    """The family behind a name, and the request with all options resolved. Raises UserError."""
    for family in FAMILIES:
        argument = spec.name.removeprefix(family.prefix)
        # a family of one dataset takes its exact name, the others need something after the prefix
        if spec.name.startswith(family.prefix) and bool(argument) == (family.name != family.prefix):
            options = resolve(spec.name, family.options, spec.options)
            return family, Request(spec.name, argument, options, base)
    raise UserError(f"unknown dataset {spec.name!r}{_suggestion(spec.name, base)}")


def _suggestion(name: str, base: Path) -> str:
    if name and (base / name).is_dir():
        return f"; did you mean folder:{name}?"
    names = [family.name for family in FAMILIES]
    return nearest(name, names) or f"; known: {', '.join(names)}"

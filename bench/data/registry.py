"""All dataset names: what there is, and what a name stands for. Torch-free, so that planning stays fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.errors import UserError, nearest
from bench.core.spec import DatasetSpec
from bench.data.external import EXTERNALS
from bench.data.family import DatasetInfo, Family, Request
from bench.data.folders.folder import Folder
from bench.data.generated import SYNTHETIC, Digits
from bench.data.options import identifying, resolve

__all__ = ["DatasetInfo", "describe", "find", "identified", "inspect"]

FAMILIES: list[Family] = [*SYNTHETIC, Digits(), Folder(), *EXTERNALS]


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


def inspect(spec: DatasetSpec, base: Path, cache: Path | None = None) -> DatasetInfo:
    """Classes and counts of the dataset, as far as they are known without decoding or downloading images.

    base: the folder that a relative `folder:` path starts from. cache: where digests of files are remembered, if
    anywhere. Raises UserError for whatever is wrong with the name, the options or the folder.
    """
    family, request = find(spec, base, cache)
    return family.inspect(request)


def identified(
    name: str, options: dict[str, Any], base: Path, cache: Path | None = None
) -> tuple[DatasetSpec, DatasetInfo]:
    """The spec of a dataset with its content in it, as runs are told apart by it. Raises as `inspect` does."""
    family, request = find(DatasetSpec(name, options), base, cache)
    info = family.inspect(request)
    return DatasetSpec(name, identifying(family.options, options), info.content), info


def find(spec: DatasetSpec, base: Path, cache: Path | None = None) -> tuple[Family, Request]:
    """The family behind a name, and the request with all options resolved. Raises UserError."""
    for family in FAMILIES:
        argument = spec.name.removeprefix(family.prefix)
        # a family of one dataset takes its exact name, the others need something after the prefix
        if spec.name.startswith(family.prefix) and bool(argument) == (family.name != family.prefix):
            options = resolve(spec.name, family.options, spec.options)
            return family, Request(spec.name, argument, options, base, cache, spec.content)
    raise UserError(f"unknown dataset {spec.name!r}{_suggestion(spec.name, base)}")


def _suggestion(name: str, base: Path) -> str:
    if name and (base / name).is_dir():
        return f"; did you mean folder:{name}?"
    names = [family.name for family in FAMILIES]
    return nearest(name, names) or f"; known: {', '.join(names)}"

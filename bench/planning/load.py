"""Study file -> validated `Study`; every mistake becomes one `UserError` that names file, line, field and value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bench.core.errors import UserError, nearest, shortened
from bench.core.spec import TrainSpec
from bench.planning import former_words
from bench.planning import yaml_document as document
from bench.planning.seeds import UntilDecided
from bench.planning.study import BackboneEntry, DatasetEntry, Matrix, SourceEntry, StrategyEntry, Study, Tune

Loc = tuple[str | int, ...]
MAX_ERRORS = 10  # mistakes told at once

PLAIN = {
    "int": "expected a whole number",
    "float": "expected a number",
    "string": "expected text",
    "bool": "expected true or false",
    "list": "expected a list",
    "dict": "expected a mapping",
    "model": "expected a mapping",
    "dataclass": "expected a mapping",
    "too_short": "expected at least one entry",
}
"""Beginning of pydantic's type of error -> the message, where pydantic's own speaks of Python."""


def load(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Parse and validate. `overrides` are `dotted.key=yaml value`, as given by `--set`."""
    node, data = document.read(path)
    for override in overrides:
        set_field(data, override)
    former_words.refuse(str(path), data)
    try:
        # as JSON, which the data are, for there pydantic's strict mode takes a mapping for an entry, but no text for
        # a number and no true for 1
        return Study.model_validate_json(json.dumps(data, allow_nan=False), strict=True)
    except ValidationError as error:
        errors = _distinct(error.errors())
        lines = [_explain(path, node, e) for e in errors[:MAX_ERRORS]]
        more = [f"and {len(errors) - MAX_ERRORS} more"] if len(errors) > MAX_ERRORS else []
        raise UserError("\n".join([*lines, *more])) from None


def set_field(data: Any, override: str) -> None:
    """Enters `dotted.key=yaml value` into nested dicts and lists. Raises UserError where there is no such place."""
    key, sep, text = override.partition("=")
    if not sep:
        raise UserError(f"--set {override}: expected key=value, such as train.epochs=5")
    *parents, last = key.split(".")
    try:
        value = document.value(text)
        for parent in parents:
            if isinstance(data, dict):
                data.setdefault(parent, {})
            data = data[_step(data, parent)]
        data[_step(data, last)] = value
    except (LookupError, TypeError, ValueError):
        raise UserError(f"--set {override}: the study has no field {key!r} to set") from None
    except UserError as error:
        raise UserError(f"--set {key}={error}") from None


def _step(within: Any, key: str) -> str | int:
    return int(key) if isinstance(within, list) else key


def _distinct(errors: list[Any]) -> list[Any]:
    seen: dict[Loc, Any] = {}
    for error in errors:
        seen.setdefault(error["loc"], error)
    return list(seen.values())


def _explain(path: Path, node: yaml.Node, error: Any) -> str:
    loc: Loc = error["loc"]
    where = f"{path}:{line_of(node, loc)}: {'.'.join(map(str, loc)) or 'study'}"
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where}: unknown field{nearest(str(loc[-1]), _fields(loc))}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{where}: this field is required and missing"
    value = error.get("input")
    own_words = error["type"] == "value_error" and isinstance(value, list)
    shown = "" if isinstance(value, dict | BaseModel) or own_words else f" (is {shortened(value)})"
    return f"{where}: {_plainly(error['type'], message)}{shown}"


def _plainly(kind: str, message: str) -> str:
    known = next(
        (words for start, words in PLAIN.items() if kind == start or kind.startswith(f"{start}_")), None
    )
    return known or message[0].lower() + message[1:]


def _fields(loc: Loc) -> list[str]:
    """The valid field names at the place where an unknown one was found."""
    sections: dict[str, Any] = {
        "datasets": DatasetEntry,
        "backbones": BackboneEntry,
        "strategies": StrategyEntry,
        "matrix": Matrix,
        "tune": Tune,
        "seeds": UntilDecided,
    }
    if loc[0] == "train" and len(loc) > 1:
        return list(TrainSpec.__dataclass_fields__)
    model = sections.get(str(loc[0]), Study) if len(loc) > 1 else Study
    return list((SourceEntry if "source" in loc[:-1] else model).model_fields)


def line_of(node: yaml.Node, loc: Loc) -> int:
    """The line (from 1) of the deepest part of `loc` that the file has."""
    line = node.start_mark.line + 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def locate(path: Path, *loc: str | int) -> str:
    """`file:line: field` of a place in a study file, for mistakes found after validation."""
    return f"{path}:{line_of(document.read(path)[0], loc)}: {'.'.join(map(str, loc))}"


@contextmanager
def located(path: Path, *loc: str | int) -> Iterator[None]:
    """Prefixes a `UserError` raised inside with the place in the study file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{locate(path, *loc)}: {error}") from None

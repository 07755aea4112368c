"""Study file -> validated `Study`; every mistake becomes one `UserError` that names file, line, field and value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bench.errors import UserError, nearest
from bench.spec import TrainSpec
from bench.study.model import BackboneEntry, DatasetEntry, Matrix, SourceEntry, StrategyEntry, Study, Tune

Loc = tuple[str | int, ...]
MAX_BYTES = 1_000_000  # a study is written by hand: more than this is a mistake (or an attack)


def load(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Parse and validate. `overrides` are `dotted.key=yaml value`, as given by `--set`."""
    node = _compose(path)
    data = _construct(path, node)
    for override in overrides:
        set_field(data, override)
    try:
        json.dumps(data, allow_nan=False)  # a run's identity is the hash of its JSON
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: a value that is neither text, number, list nor mapping: {error}") from None
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        lines = "\n".join(_explain(path, node, e) for e in _distinct(error.errors()))
        raise UserError(lines) from None


def _compose(path: Path) -> yaml.Node:
    if not path.is_file():
        near = (
            nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")]) if path.parent.is_dir() else ""
        )
        raise UserError(f"{path}: no such study file{near}")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes; a study file is a few dozen lines")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise UserError(f"{path}: aliases (*name) are not allowed in a study; write the values out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a UTF-8 text file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(
            f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {getattr(error, 'problem', error)}"
        ) from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError(
            f"{path}:1: a study is a mapping with name, datasets, backbones, strategies and seeds"
        )
    _check_tree(path, node)
    return node


def _check_tree(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UserError(
                    f"{path}:{key.start_mark.line + 1}: a key must be a word, not a list or mapping"
                )
            if key.value in seen:
                raise UserError(f"{path}:{key.start_mark.line + 1}: the key {key.value!r} stands twice")
            seen.add(key.value)
            _check_tree(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_tree(path, item)
    elif node.tag == "tag:yaml.org,2002:float" and node.value.lstrip("+-").lower() in (".inf", ".nan"):
        raise UserError(
            f"{path}:{node.start_mark.line + 1}: {node.value} is no number that a run can be told by"
        )


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as a string; people write learning rates that way."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _construct(path: Path, node: yaml.Node) -> dict[str, Any]:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or node.start_mark
        raise UserError(f"{path}:{mark.line + 1}: {getattr(error, 'problem', error)}") from None


def set_field(data: Any, override: str) -> None:
    """Enters `dotted.key=yaml value` into nested dicts and lists. Raises UserError where there is no such place."""
    key, sep, text = override.partition("=")
    if not sep:
        raise UserError(f"--set {override}: expected key=value, such as train.epochs=5")
    *parents, last = [int(k) if k.isdigit() else k for k in key.split(".")]
    try:
        value = yaml.load(text, Loader=_Loader)
        for parent in parents:
            if isinstance(data, dict) and parent not in data:
                data[parent] = {}
            data = data[parent]
        data[last] = value
    except (KeyError, IndexError, TypeError):
        raise UserError(f"--set {override}: the study has no field {key!r} to set") from None
    except yaml.YAMLError:
        raise UserError(f"--set {override}: {text!r} is not a YAML value") from None


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
    shown = (
        ""
        if isinstance(value, dict | BaseModel) or (error["type"] == "value_error" and isinstance(value, list))
        else f" (is {value!r})"
    )
    return f"{where}: {message[0].lower() + message[1:]}{shown}"


def _fields(loc: Loc) -> list[str]:
    """The valid field names at the place where an unknown one was found."""
    sections: dict[str, Any] = {
        "datasets": DatasetEntry,
        "backbones": BackboneEntry,
        "strategies": StrategyEntry,
        "matrix": Matrix,
        "tune": Tune,
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
    return f"{path}:{line_of(_compose(path), loc)}: {'.'.join(map(str, loc))}"


@contextmanager
def located(path: Path, *loc: str | int) -> Iterator[None]:
    """Prefixes a `UserError` raised inside with the place in the study file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{locate(path, *loc)}: {error}") from None

"""The text of a study file -> its YAML tree, with lines, and plain data. Nothing in it can execute code or explode.

A study has text, finite numbers, true, false, nothing, lists and mappings with words as keys. What else YAML knows is
refused: aliases (a few lines of them make gigabytes), tags (Python's objects, dates, sets), duplicate keys.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from bench.core.errors import UserError, nearest, shortened

MAX_BYTES = 100_000  # a study is written by hand: more than this is a mistake (or an attack)
MAX_DEPTH = 20  # of lists and mappings in each other
MAX_WHOLE = 2**63  # what stores and generators of random numbers take

_TEXT, _FLOAT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:float"
_PLAIN = {_TEXT, _FLOAT, *(f"tag:yaml.org,2002:{kind}" for kind in ("int", "bool", "null", "seq", "map"))}


class _Refused(yaml.MarkedYAMLError):
    """Good YAML that is no study."""


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise _refuse("aliases (*name) are not allowed in a study; write the values out", mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refuse(f"more than {MAX_DEPTH} lists and mappings within each other", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        assert node is not None  # an empty document has no node to be composed
        if node.tag not in _PLAIN and not (isinstance(parent, yaml.MappingNode) and index is None):
            kind = node.tag.replace("tag:yaml.org,2002:", "!!")
            allowed = "text, numbers, true, false, lists and mappings"
            raise _refuse(f"{kind} is not allowed in a study, which holds {allowed}", mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refuse("a key must be a word, not a list or mapping", key.start_mark)
            key.tag = _TEXT  # also of keys that read as a number, as nothing, or as YAML's merge
            if key.value in seen:
                raise _refuse(f"duplicate key {key.value!r}", key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError):  # whatever YAML's conversions fail with
            raise _refuse(
                f"{shortened(node.value)} is no {node.tag.rpartition(':')[2]}", node.start_mark
            ) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _refuse(f"{shortened(node.value)} is no number that a run can be told by", node.start_mark)
        if isinstance(value, int) and abs(value) >= MAX_WHOLE:
            raise _refuse(f"{shortened(node.value)} is too large a number", node.start_mark)
        if isinstance(value, str) and not _is_unicode(value):
            raise _refuse(f"{shortened(value)} holds half a character, which no file can", node.start_mark)
        return value


_Loader.yaml_implicit_resolvers = {  # without dates: 2024-05-01 is a fine label; and `off` is a word, as in YAML 1.2
    start: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
    for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
# YAML 1.1 reads 1e-3 as text; people write learning rates that way
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read(path: Path) -> tuple[yaml.MappingNode, dict[str, Any]]:
    """The tree of a study file and its data. Raises `UserError`, with the line, for what is no study."""
    loader = None
    try:
        loader = _Loader(_text(path))
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            fields = "name, datasets, backbones, strategies and seeds"
            raise UserError(f"{path}:1: a study is a mapping with {fields}")
        return node, loader.construct_document(node)
    except yaml.YAMLError as error:
        raise UserError(_explain(path, error)) from None
    finally:
        if loader:
            loader.dispose()


def value(text: str) -> Any:
    """What is written as one YAML value. Raises `UserError`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{shortened(text)}: {_reason(error)}") from None


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise UserError(f"{path}: {_what_it_is(path)}")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes; a study file is a few dozen lines")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a UTF-8 text file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "a folder, not a study file"
    if path.exists():
        return "no regular file"
    if path.is_symlink():
        return "a link that leads nowhere"
    files = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    return f"no such study file{nearest(path.name, files)}"


def _explain(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    kind = "" if isinstance(error, _Refused | ConstructorError) else "not valid YAML: "
    return f"{path}:{mark.line + 1 if mark else 1}: {kind}{_reason(error)}"


def _reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character #x{error.character:04x} is not allowed in text"
    return str(getattr(error, "problem", error))


def _refuse(problem: str, mark: yaml.Mark) -> _Refused:
    return _Refused(None, None, problem, mark)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
